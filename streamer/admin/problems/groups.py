"""Groups of problems that share a cause: the part, the reason, and the error without its varying values."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from streamer.controls import error_filter_of, normalised_error
from streamer.events import SubscriberName

MOST_GROUPS = 200
"""Largest number of groups of one list. Further errors of a part and a reason then share a group."""

MOST_RECORDS = 10
"""Largest number of records that a problem names."""


class ProblemKind(StrEnum):
    """Kind of a problem."""

    DEAD_LETTERS = "dead_letters"
    PARKED = "parked"
    TARGET_DOWN = "target_down"
    """The circuit breaker is open, or probes with one event at a time."""
    HELD = "held"
    PAUSED = "paused"
    """An operator has paused the subscriber."""
    DISABLED = "disabled"
    """The guard or the target has paused the subscriber."""
    LATE = "late"
    PLUGIN_NOT_OPEN = "plugin_not_open"
    HOLE = "hole"
    REPAIR_WAITS = "repair_waits"
    POSITION_EXPIRES = "position_expires"
    CHANNEL_REFUSED = "channel_refused"
    PROCESS_WAITS = "process_waits"
    """The process waits for the login or for the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenProblem:
    """Problem that needs a person: one or more cases with the same cause.

    `subscriber` or `channel` names the part that has the problem; both are `None`
    for the whole process. `reason` is a stable word, and `error` a sentence from
    Streamer or a target. `count` is the number of cases, `since` the time of the oldest
    case, and `latest` the time of the newest case, in epoch seconds or `None` if unknown.
    `can_be_repeated` is false for dead letters that no redrive can deliver.
    `entity` is the object whose records are missing, if it is only one, and `records`
    are the ids of all missing records, or empty if these are unknown or too many.
    """

    kind: ProblemKind
    reason: str = ""
    error: str = ""
    subscriber: SubscriberName | None = None
    channel: str | None = None
    entity: str | None = None
    records: tuple[str, ...] = ()
    since: float | None = None
    latest: float | None = None
    count: int = 1
    can_be_repeated: bool = True

    @property
    def error_filter(self) -> str | None:
        """Filter of dead letters that admits exactly the errors of this group, or `None` without one."""
        return error_filter_of(self.error) if self.error else None


@dataclass(slots=True)
class ProblemGroups:
    """Collects problems, and joins the problems with the same cause into one, which has the newest error."""

    _by_cause: dict[tuple[object, ...], OpenProblem] = field(default_factory=dict, init=False)

    def add(self, problem: OpenProblem) -> None:
        """Add a problem to the group of its cause."""
        cause = _cause(problem, normalised_error(problem.error))
        if cause not in self._by_cause and len(self._by_cause) >= MOST_GROUPS:
            # The errors of this group differ, so no filter chooses the group.
            problem = replace(problem, error="")
            cause = _cause(problem, "")
        found = self._by_cause.get(cause)
        self._by_cause[cause] = problem if found is None else _joined(found, problem)

    def in_order(self) -> list[OpenProblem]:
        """Return the groups, the newest first."""
        return in_order(self._by_cause.values())


def grouped(problems: Iterable[OpenProblem]) -> list[OpenProblem]:
    """Return one problem for each cause, the newest first."""
    groups = ProblemGroups()
    for problem in problems:
        groups.add(problem)
    return groups.in_order()


def in_order(problems: Iterable[OpenProblem]) -> list[OpenProblem]:
    """Return the problems, the newest first.

    A problem without a time exists now, so it comes first of all.
    """
    return sorted(problems, key=lambda each: (each.latest is not None, -(each.latest or 0.0)))


def _cause(problem: OpenProblem, error: str) -> tuple[object, ...]:
    part = problem.subscriber, problem.channel, problem.entity
    return problem.kind, part, problem.reason, problem.can_be_repeated, error


def _joined(one: OpenProblem, other: OpenProblem) -> OpenProblem:
    newest = max(one, other, key=lambda each: each.latest or 0.0)
    records = {*one.records, *other.records} if one.records and other.records else set[str]()
    return replace(
        newest,
        records=tuple(sorted(records)) if len(records) <= MOST_RECORDS else (),
        since=min((each.since for each in (one, other) if each.since is not None), default=None),
        count=one.count + other.count,
    )
