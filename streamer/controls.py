"""Switches, orders and audit records: what operators and Streamer order at run time."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
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
"""An order fits into one record of the log while the ids that it skips are no longer than this altogether."""

_SNAPSHOT = "snapshot:"
_POSITION = "position:"


class Switch(StrEnum):
    """State of a subscriber's switch: it delivers, or it does not."""

    RUNNING = "running"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """Last switching of a subscriber; `at` is in epoch seconds.

    `by` is an operator's name, `guard` (too many dead letters) or `target` (it
    wants no more events).
    """

    subscriber: SubscriberName
    switch: Switch
    by: str
    at: float
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterFilter:
    """Filter of dead letters; a field that is `None` matches all of them.

    `error` is a part of the error's text (of its first 2,000 characters), in any
    case. With `channel`, a path,
    it is a filter of the letters that ingest has set aside there. Times are
    epoch seconds; `failed_before` is excluded.
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
        """Return true for a letter that every field matches."""
        return (
            (self.ids is None or letter.id in self.ids)
            and self.subscriber in {None, letter.subscriber}
            and self.key in {None, letter.key}
            and self.reason in {None, letter.reason}
            and (self.error is None or self.error.casefold() in letter.error.casefold())
            and (self.failed_from is None or letter.failed_at >= self.failed_from)
            and (self.failed_before is None or letter.failed_at < self.failed_before)
            and (self.channel is None or (_is_of_ingest(letter) and letter.channel_path == self.channel))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinuityFilter:
    """Filter of continuity records; a field that is `None` matches all of them.

    `channel` is a path, and `recorded_from` is in epoch seconds.
    """

    channel: str | None = None
    cause: HoleCause | None = None
    state: Repair | None = None
    recorded_from: float | None = None

    def admits(self, record: ContinuityRecord) -> bool:
        """Return true for a record that every field matches."""
        return (
            self.channel in {None, record.channel.path}
            and self.cause in {None, record.cause}
            and self.state in {None, record.state}
            and (self.recorded_from is None or record.recorded_at >= self.recorded_from)
        )


def can_be_redriven(letter: DeadLetter | LetterHead) -> bool:
    """Return true for a letter whose event a subscriber has read from the log."""
    return letter.key is not None and letter.subscriber is not None and letter.partition is not None


def can_be_ingested(letter: DeadLetter | LetterHead) -> bool:
    """Return true for a letter of ingest with bytes that can be read or stored by now."""
    is_read = ChannelKind.of(letter.channel_path) is not ChannelKind.OUTBOUND
    return _is_of_ingest(letter) and is_read and letter.has_raw


def _is_of_ingest(letter: DeadLetter | LetterHead) -> bool:
    return letter.stage is Stage.INGEST and letter.subscriber is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Redrive:
    """Order to deliver dead letters of one subscriber again, or to read those of one channel again.

    Letters of a channel are read again, and their events appended, by the
    process that owns the channel. The order covers the letters that failed
    before `letters.failed_before`, so a letter that fails again is not redriven
    for ever. `skipped` are the ids of letters that it leaves out. Unless
    `include_superseded`, it leaves out any letter that a later event supersedes
    before its turn comes. It is open while `ended_at` is `None`.
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
        """Return true for a letter that the order covers, and that can be delivered or read again."""
        takes = can_be_redriven if self.letters.channel is None else can_be_ingested
        return takes(letter) and self.letters.admits(letter) and letter.id not in self.skipped

    def without(self, letters: Collection[str]) -> "Redrive":
        """Return the order that skips `letters` as well, by their ids."""
        return replace(self, skipped=self.skipped.union(letters))


class Wanted(StrEnum):
    """Activity that an operator wants of a snapshot."""

    RUNNING = "running"
    PAUSED = "paused"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotOrder:
    """Order to publish the records of one entity, as they are, in the channel at a path.

    It covers the records that match `where` (SOQL), or all, with `fields`, or
    all fields. With `since` (epoch seconds), it covers those that were changed
    since then, and the deletions since then. The process that owns the channel carries it out, and keeps its
    progress in the continuity record of the same `id`. `by` is the operator who
    changed last what is `wanted`, at the epoch seconds `at`. The order stands
    until its continuity record has a final state, and `ended_at` is `None`
    until then.
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
    """Place in a channel at which an operator wants reading to go on."""

    LATEST = "latest"
    EARLIEST = "earliest"
    SINCE = "since"
    """With the first retained event that was committed at a time, or later."""
    REPLAY_ID = "replay_id"
    """Behind a replay id."""
    START = "start"
    """Where the configuration lets a new channel start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionOrder:
    """Order to read the channel at a path on at another place.

    The process that owns the channel carries it out between two answers, and
    records that in the continuity record of the same `id`. `replay_id` and
    `since` (epoch seconds) go with their places. Unless `repeat`, what the log
    holds is left out when it is read again. `by` is the operator who gave the
    order, at the epoch seconds `at`. It is open while `ended_at` is `None`.
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
    """Switches at one moment: the last control of each subscriber, and the open orders by their ids."""

    controls: Mapping[SubscriberName, Control] = field(default_factory=dict)
    redrives: Mapping[str, Redrive] = field(default_factory=dict)
    snapshots: Mapping[str, SnapshotOrder] = field(default_factory=dict)
    positions: Mapping[str, PositionOrder] = field(default_factory=dict)

    def pauses(self, subscriber: SubscriberName) -> bool:
        """Return true while `subscriber` is paused."""
        control = self.controls.get(subscriber)
        return control is not None and control.switch is Switch.PAUSED
