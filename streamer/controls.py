"""Switches, orders and audit records: commands from operators and Streamer at run time."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from uuid import uuid4

from streamer.channel_paths import ChannelKind
from streamer.events import (
    ContinuityRecord,
    DeadLetter,
    HoleCause,
    JsonObject,
    LetterHead,
    Repair,
    ReplayId,
    Stage,
    SubscriberName,
)

MAX_SKIPPED_CHARACTERS = 400_000
"""Largest total length of all skipped ids in characters, so that an order fits into one record of the log."""

LONGEST_ERROR = 300
"""Largest number of characters of an error that are compared and shown."""

_BLANK = "…"
_WHOLE = "="
# A status of HTTP stays, because 422 and 503 have different causes. Other numbers are values.
_VALUES = re.compile(
    r"""\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b
    |\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?
    |\b(?=[0-9A-Za-z]*\d)(?:[0-9A-Za-z]{18}|[0-9A-Za-z]{15})\b
    |\b[0-9a-f]{16,}\b
    |\b(?!(?:(?<=^)|(?<=answered\ )|(?<=http\ )|(?<=status\ ))[1-5]\d\d\b)\d+(?:[.,]\d+)*\b""",
    re.VERBOSE | re.IGNORECASE,
)

_SNAPSHOT = "snapshot:"
_POSITION = "position:"


class Switch(StrEnum):
    """State of a subscriber's switch: whether it delivers."""

    RUNNING = "running"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """Last change of a subscriber's switch; `at` is in epoch seconds.

    `by` is an operator's name, `guard` (there were too many dead letters) or `target`
    (the target wants no more events).
    """

    subscriber: SubscriberName
    switch: Switch
    by: str
    at: float
    reason: str = ""


@lru_cache(maxsize=1_024)
def normalised_error(error: str) -> str:
    """Return `error` on one line, with a blank for each value that differs from event to event.

    Values are ids, times, numbers and characters that can't be shown.
    """
    line = " ".join(error[:LONGEST_ERROR].split())
    text = "".join(each if each.isprintable() else _BLANK for each in line)
    # The end of one value can be the beginning of the next.
    while (blanked := _VALUES.sub(_BLANK, text)) != text:
        text = blanked
    return text


def error_filter_of(error: str) -> str:
    """Return the filter that `is_error_like` takes for the errors with the same cause as `error`."""
    # The blank makes a command quote the filter; zsh takes a bare =word for the path of a program.
    return f"{_WHOLE} {normalised_error(error)}"


def is_whole_error(wanted: str) -> bool:
    """Return true for a filter that compares whole errors."""
    return wanted.startswith(_WHOLE)


def is_error_like(wanted: str, error: str) -> bool:
    """Return true if `error` contains `wanted`, in any letter case.

    With `=` before the text, the whole errors must be equal, except for their values.
    """
    if is_whole_error(wanted):
        return normalised_error(wanted.removeprefix(_WHOLE).strip()) == normalised_error(error)
    return wanted.casefold() in error.casefold()


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterFilter:
    """Filter of dead letters; a field that is `None` matches all letters.

    `error` is a part of the error's first 2,000 characters, in any letter case. With
    `=` before it, `error` is the whole error (`is_error_like`). With `channel` (a
    path), only letters match that ingest has set aside on that channel. Times are epoch
    seconds; `failed_before` is exclusive.
    """

    ids: frozenset[str] | None = None
    subscriber: SubscriberName | None = None
    key: str | None = None
    reason: str | None = None
    error: str | None = None
    failed_from: float | None = None
    failed_before: float | None = None
    channel: str | None = None

    def admits(self, letter: DeadLetter | LetterHead) -> bool:
        """Return true if every field matches the letter."""
        return (
            (self.ids is None or letter.id in self.ids)
            and self.subscriber in {None, letter.subscriber}
            and self.key in {None, letter.key}
            and self.reason in {None, letter.reason}
            and (self.error is None or is_error_like(self.error, letter.error))
            and (self.failed_from is None or letter.failed_at >= self.failed_from)
            and (self.failed_before is None or letter.failed_at < self.failed_before)
            and (self.channel is None or (_is_of_ingest(letter) and letter.channel_path == self.channel))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinuityFilter:
    """Filter of continuity records; a field that is `None` matches all records.

    `channel` is a path, and `recorded_from` is in epoch seconds.
    """

    channel: str | None = None
    cause: HoleCause | None = None
    state: Repair | None = None
    recorded_from: float | None = None

    def admits(self, record: ContinuityRecord) -> bool:
        """Return true if every field matches the record."""
        return (
            self.channel in {None, record.channel.path}
            and self.cause in {None, record.cause}
            and self.state in {None, record.state}
            and (self.recorded_from is None or record.recorded_at >= self.recorded_from)
        )


def can_be_redriven(letter: DeadLetter | LetterHead) -> bool:
    """Return true if a subscriber has read the letter's event from the log."""
    return letter.key is not None and letter.subscriber is not None and letter.partition is not None


def can_be_ingested(letter: DeadLetter | LetterHead) -> bool:
    """Return true for a letter of ingest that can be read or stored again, because its bytes are known."""
    is_read = ChannelKind.of(letter.channel_path) is not ChannelKind.OUTBOUND
    return _is_of_ingest(letter) and is_read and letter.has_raw


def _is_of_ingest(letter: DeadLetter | LetterHead) -> bool:
    return letter.stage is Stage.INGEST and letter.subscriber is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Redrive:
    """Order to deliver one subscriber's dead letters again, or to read one channel's letters again.

    The process that owns the channel reads the channel's letters again and appends
    their events. The order covers letters that failed before
    `letters.failed_before`, so that a letter that fails again is not redriven for
    ever. `skipped` are the ids of letters to skip. A letter is also skipped if a later
    event supersedes it before its turn, unless `include_superseded` is set. The order
    is open while `ended_at` is `None`.
    """

    id: str
    letters: LetterFilter
    per_second: float
    by: str
    at: float
    skipped: frozenset[str] = frozenset()
    include_superseded: bool = False
    ended_at: float | None = None

    def admits(self, letter: DeadLetter | LetterHead) -> bool:
        """Return true if the order covers the letter, and the letter can be delivered or read again."""
        takes = can_be_redriven if self.letters.channel is None else can_be_ingested
        return takes(letter) and self.letters.admits(letter) and letter.id not in self.skipped

    def without(self, letters: Collection[str]) -> "Redrive":
        """Return the order with the ids `letters` added to the skipped letters."""
        return replace(self, skipped=self.skipped.union(letters))


class Wanted(StrEnum):
    """Wanted state of a snapshot, set by an operator."""

    RUNNING = "running"
    PAUSED = "paused"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotOrder:
    """Order to publish the current records of one entity on the channel at a path.

    The order covers the records that match `where` (SOQL), or all records; it
    covers `fields`, or all fields. With `since` (epoch seconds), the order covers
    only records changed or deleted since then. The process that owns the channel
    executes the order, and keeps the progress in the continuity record with the
    same `id`. `by` is the operator who last changed `wanted`, at `at` (epoch
    seconds). The order is open until its continuity record has a final state; until
    then, `ended_at` is `None`.
    """

    id: str
    channel: str
    entity: str
    where: str = ""
    fields: tuple[str, ...] = ()
    since: float | None = None
    wanted: Wanted = Wanted.RUNNING
    by: str
    at: float
    ended_at: float | None = None

    @staticmethod
    def new_id() -> str:
        """Return an id for a new order."""
        return f"{_SNAPSHOT}{uuid4()}"


def is_ordered_snapshot(record: ContinuityRecord) -> bool:
    """Return true for the continuity record of a `SnapshotOrder`."""
    return record.cause is HoleCause.SNAPSHOT and record.id.startswith(_SNAPSHOT)


class ChannelPosition(StrEnum):
    """Position at which an operator wants reading of a channel to continue."""

    LATEST = "latest"
    EARLIEST = "earliest"
    SINCE = "since"
    """The first retained event that was committed at a given time or later."""
    REPLAY_ID = "replay_id"
    """After a given replay id."""
    START = "start"
    """The configured start of a new channel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionOrder:
    """Order to continue the reading of a channel at another position; `channel` is its path.

    The process that owns the channel executes the order between two answers, and
    records it in the continuity record with the same `id`. `replay_id` is set only for
    the place of this name, and so is `since` (epoch seconds). Unless `repeat` is set,
    events that the log already has are skipped. `by` is the operator who gave the
    order, at `at` (epoch seconds). The order is open while `ended_at` is `None`.
    """

    id: str
    channel: str
    place: ChannelPosition
    replay_id: ReplayId | None = None
    since: float | None = None
    repeat: bool = False
    by: str
    at: float
    ended_at: float | None = None

    @staticmethod
    def new_id() -> str:
        """Return an id for a new order."""
        return f"{_POSITION}{uuid4()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """Record of one change: `what` is in the past tense with dots, such as `subscriber.paused`.

    `at` is in epoch seconds.
    """

    at: float
    what: str
    by: str
    subscriber: SubscriberName | None = None
    detail: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlState:
    """Current control of each subscriber, and the open orders by id."""

    controls: Mapping[SubscriberName, Control] = field(default_factory=dict)
    redrives: Mapping[str, Redrive] = field(default_factory=dict)
    snapshots: Mapping[str, SnapshotOrder] = field(default_factory=dict)
    positions: Mapping[str, PositionOrder] = field(default_factory=dict)

    def pauses(self, subscriber: SubscriberName) -> bool:
        """Return true if `subscriber` is paused."""
        control = self.controls.get(subscriber)
        return control is not None and control.switch is Switch.PAUSED
