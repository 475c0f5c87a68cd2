"""Remedies of problems: what a person does about each kind, in one sentence, and the command for it."""

import re
import shlex
from collections.abc import Collection, Sequence
from pathlib import Path

from streamer.admin.problems.groups import OpenProblem, ProblemKind
from streamer.channel_paths import ChannelKind
from streamer.continuity import where_of

_OF_LETTERS = {
    "rejected": "Correct the data, the mapping or the target, and then redrive the events.",
    "retries_exhausted": "Check that the target works again, and then redrive the events.",
    "incomplete": "Find out why an upstream subscriber has not delivered, and then redrive the events.",
    "too_large": "Send less to the target, or raise its limit, and then redrive the events.",
    "unreadable": "Correct the schema or the channel, and then redrive the events.",
    "refused_by_log": "Raise the log's limit, and then redrive the events.",
}
_LOST = "No redrive can deliver these events: send them by hand, and then discard the dead letters."
_UNKNOWN = "The {} is no longer configured: configure it again, or discard its dead letters."
_OTHER = "Correct the cause, and then redrive the events."
_OF_KINDS = {
    ProblemKind.PARKED: "Correct the cause. Streamer retries each key by itself, at the time in the list.",
    ProblemKind.TARGET_DOWN: "Repair the target. Streamer tries it by itself, and a probe tries it at once.",
    ProblemKind.HELD: "Correct the credentials or the permissions of the target, and then probe it.",
    ProblemKind.PAUSED: "Resume the subscriber when the reason for the pause is gone.",
    ProblemKind.DISABLED: "Correct the cause, and then resume the subscriber.",
    ProblemKind.LATE: "Find out why the target is slow, or raise its limits or `deliver_within`.",
    ProblemKind.PLUGIN_NOT_OPEN: "Correct the subscriber's settings or its target. Streamer tries it again.",
    ProblemKind.REPAIR_WAITS: "Remove the reason. The repair then continues by itself.",
    ProblemKind.POSITION_EXPIRES: (
        "Let Streamer read the channel again soon: Salesforce drops events after their retention."
    ),
    ProblemKind.CHANNEL_REFUSED: "Correct the reason. Streamer tries the channel again by itself.",
    ProblemKind.PROCESS_WAITS: "Correct the reason. Streamer tries again by itself.",
}
_EXPIRED = (
    "Salesforce can have dropped events: let Streamer read the channel again, and then check its holes."
)
_SNAPSHOT = "Take a snapshot: it publishes the present state of the records."
_NO_RECORDS = (
    "Salesforce has no copy of these events: tell the owners of the targets which time is missing, and then "
    "acknowledge the hole."
)
_OF_SUBSCRIBER = {
    ProblemKind.PARKED: ("parked", "list"),
    ProblemKind.TARGET_DOWN: ("subscribers", "probe"),
    ProblemKind.HELD: ("subscribers", "probe"),
    ProblemKind.PAUSED: ("subscribers", "resume"),
    ProblemKind.DISABLED: ("subscribers", "resume"),
}
# Between double quotes, a shell replaces these.
_SPECIAL = re.compile(r'["$`\\!]')
_LISTED = frozenset({ProblemKind.HOLE, ProblemKind.REPAIR_WAITS})
_SHOWN = {ProblemKind.POSITION_EXPIRES: ["checkpoint", "list"], ProblemKind.LATE: ["subscribers", "list"]}


def remedy_of(problem: OpenProblem, configured: Collection[str]) -> str:
    """Return what a person does about a problem, as one or two sentences.

    `configured` are the names of the subscribers and the paths of the channels.
    """
    if problem.kind is ProblemKind.DEAD_LETTERS:
        return _remedy_of_letters(problem, configured)
    if problem.kind is ProblemKind.HOLE:
        return _SNAPSHOT if has_records(problem) else _NO_RECORDS
    if problem.kind is ProblemKind.POSITION_EXPIRES and problem.reason == "expired":
        return _EXPIRED
    return _OF_KINDS[problem.kind]


def command_of(problem: OpenProblem, configured: Collection[str], sources: Sequence[Path] = ()) -> str:
    """Return the command that acts on a problem, or shows more about it.

    `sources` are the files of the daemon's configuration.
    """
    words = _words_of(problem, configured) or ["doctor", *_file_options(sources)]
    return " ".join(map(_quoted, ["streamer", *words]))


def can_be_redriven(problem: OpenProblem, configured: Collection[str]) -> bool:
    """Return true for dead letters that a redrive delivers, or reads again."""
    return problem.can_be_repeated and (problem.subscriber or problem.channel) in configured


def _words_of(problem: OpenProblem, configured: Collection[str]) -> list[str]:
    kind = problem.kind
    if kind is ProblemKind.DEAD_LETTERS:
        # A filter can't select only letters that no redrive can deliver, so a discard could cover other
        # letters.
        is_exact = problem.error_filter is not None and can_be_redriven(problem, configured)
        return ["deadletters", "redrive" if is_exact else "list", *_letter_options(problem)]
    if words := _OF_SUBSCRIBER.get(kind):
        return [*words, problem.subscriber or ""]
    if kind is ProblemKind.HOLE and has_records(problem) and problem.entity:
        chosen = ["--where", where_of(problem.records)] if problem.records else []
        return ["snapshot", "start", problem.entity, "--channel", problem.channel or "", *chosen]
    if kind in _LISTED:
        return ["continuity", "list", "--channel", problem.channel or ""]
    return _SHOWN.get(kind, [])


def _file_options(sources: Sequence[Path]) -> list[str]:
    return [part for path in [*map(str, sources)] or ["FILE"] for part in ("-c", path)]


def _quoted(word: str) -> str:
    # A person reads "it's" more easily than 'it'"'"'s'.
    return f'"{word}"' if "'" in word and not _SPECIAL.search(word) else shlex.quote(word)


def _letter_options(problem: OpenProblem) -> list[str]:
    options = {
        "--subscriber": problem.subscriber,
        "--channel": problem.channel,
        "--reason": problem.reason,
        "--error": problem.error_filter,
    }
    return [part for name, value in options.items() if value for part in (name, value)]


def has_records(problem: OpenProblem) -> bool:
    """Return true for a channel whose events are changes of records, so that a snapshot can replace them."""
    return problem.channel is not None and ChannelKind.of(problem.channel) is ChannelKind.CHANGES


def _remedy_of_letters(problem: OpenProblem, configured: Collection[str]) -> str:
    if (problem.subscriber or problem.channel) not in configured:
        return _UNKNOWN.format("subscriber" if problem.subscriber else "channel")
    if not problem.can_be_repeated:
        return _LOST
    return _OF_LETTERS.get(problem.reason, _OTHER)
