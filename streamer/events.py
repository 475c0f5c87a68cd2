"""The values that travel from Salesforce through the log to the targets.

Nothing here does I/O or knows a transport, a log or a target.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NewType, TypeVar, dataclass_transform

OrgId = NewType("OrgId", str)
"""The 18-character id of a Salesforce org."""

ReplayId = NewType("ReplayId", bytes)
"""Salesforce's position in a channel: opaque bytes, never computed with.

CometD's integers are kept as their decimal digits in ASCII.
"""

EventId = NewType("EventId", str)
"""The deterministic id of an event: reading it again gives the same one."""

SubscriberName = NewType("SubscriberName", str)
"""The key of a subscriber in the configuration."""

JsonObject = dict[str, Any]

_Class = TypeVar("_Class")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def _value_of_every_event(cls: type[_Class]) -> type[_Class]:
    """Make `cls` a dataclass that the type checker alone keeps frozen.

    Python sets each field of a frozen dataclass by a call, which takes 1 µs of
    the 12 that parsing, normalising and encoding an event take.
    """
    return dataclass(slots=True, kw_only=True)(cls)


class Start(StrEnum):
    """Where to begin when no position is known."""

    LATEST = "latest"
    EARLIEST = "earliest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One subscription path of one org, such as `/data/ChangeEvents`."""

    org: OrgId
    path: str

    def __str__(self) -> str:
        """Return `org/path`, the key of this channel in the log."""
        return f"{self.org}{self.path}"


@_value_of_every_event
class Event:
    """One change to one record, or one message: a CloudEvents 1.0 event.

    `time` is the commit time, RFC 3339 in UTC with milliseconds. `key` is what
    events are ordered by. `channel` (a path) and `replay_id` are the event's
    position; the same org change read elsewhere differs in these alone.
    """

    id: EventId
    source: str
    type: str
    subject: str | None
    time: str
    key: str
    channel: str
    replay_id: ReplayId
    data: JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A piece of a response that could not be read as a message."""

    raw: bytes
    error: str
    replay_id: ReplayId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one read of a channel returned, possibly no messages.

    `messages` are the transport's own payloads, in Salesforce's order; a
    normaliser turns each into events. `read_at` is in epoch seconds. A large
    answer comes in several batches, and all but the last say that there is
    `more` of it.
    """

    channel: Channel
    read_at: float
    messages: Sequence[Any] = ()
    unreadable: Sequence[Unreadable] = ()
    more: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """How far a channel has been appended to the log.

    Everything up to and including `replay_id` is complete; `None` means that
    nothing is yet. `appended` are the ids of the events after it that the log
    already holds: split events share one replay id, and reading resumes before
    all of them. `open_replay_id` is the replay id that those events carry.
    `verified_at` (epoch seconds) is the last moment at which nothing was known
    to be missing.
    """

    channel: Channel
    replay_id: ReplayId | None
    verified_at: float
    appended: tuple[EventId, ...] = ()
    open_replay_id: ReplayId | None = None


class HoleCause(StrEnum):
    """Why events are, or may be, missing."""

    REPLAY_ID_REFUSED = "replay_id_refused"
    GAP_EVENT = "gap_event"
    OVERFLOW = "overflow"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinuityRecord:
    """The durable record of a hole: from, to, cause, repaired or not."""

    channel: Channel
    cause: HoleCause
    detail: str
    recorded_at: float
    after: ReplayId | None = None
    verified_at: float | None = None
    repaired: bool = False


class Stage(StrEnum):
    """Which side of the log set an event aside."""

    INGEST = "ingest"
    DISPATCH = "dispatch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """One ordered part of the log, the unit in which subscribers share work."""

    topic: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """An event set aside with everything needed to understand and redrive it.

    `id` is the same when the same event is set aside again. `reason` is a
    stable word to filter by, `error` a sentence, `hint` what to do, and
    `first_error` that of the first attempt. `raw` is what could not be read or
    appended. `partition` and `offset` are the place in the log of an event that
    had one. Times are epoch seconds.
    """

    id: str
    stage: Stage
    channel: str
    reason: str
    error: str
    hint: str
    failed_at: float
    first_failed_at: float
    replay_id: ReplayId | None = None
    raw: bytes = b""
    event: Event | None = None
    subscriber: SubscriberName | None = None
    attempts: int = 0
    first_error: str = ""
    answer: str = ""
    partition: Partition | None = None
    offset: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An event at its place in the log, where it takes `size` bytes."""

    partition: Partition
    offset: int
    event: Event
    size: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far one subscriber has come in one partition.

    Everything below `next_offset` is settled, and so is every offset in
    `settled_above`.
    """

    next_offset: int
    settled_above: frozenset[int] = frozenset()

    def covers(self, offset: int) -> bool:
        """Whether `offset` is settled."""
        return offset < self.next_offset or offset in self.settled_above

    @property
    def end(self) -> int:
        """The offset below which everything lies that is settled."""
        return max(self.next_offset, max(self.settled_above, default=-1) + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setback:
    """How the head of a lane has failed so far, and when it is tried again.

    `attempts` were spent on it. `first_failed_at` and `due_at` are epoch seconds.
    """

    attempts: int
    first_failed_at: float
    due_at: float
    first_error: str
    last_error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedLane:
    """A lane that the log keeps because its head keeps failing.

    `offsets` are those of its events, rising: the places that they had in the
    partition that they were read from.
    """

    lane: str
    offsets: tuple[int, ...]
    setback: Setback


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The durable record of a finished delivery, with the target's answer.

    `attempts` counts the one that succeeded, which took `seconds`. The other
    times are epoch seconds.
    """

    event_id: EventId
    event_type: str
    event_key: str
    subscriber: SubscriberName
    attempts: int
    first_tried_at: float
    delivered_at: float
    seconds: float
    answer: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event on its way to one target.

    `key` is the idempotency key: the same on every attempt, restart and
    redrive. `attempt` counts from 1. `body` is the target's own shape of the
    event, `text` a sentence for people; each is `None` where not configured.
    """

    event: Event
    key: str
    attempt: int
    body: Any = None
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """The target has accepted the event; `answer` is what it said."""

    answer: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """This event may succeed later; `after_s` overrides the schedule when the target asked for it."""

    reason: str
    after_s: float | None = None
    answer: str = ""


LONGEST_PAUSE_S = 86_400.0
"""The most that an outcome may ask for as `after_s`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """The whole target asks for a pause; costs this event no attempt.

    `alert` says that the target will take nothing before somebody has acted.
    """

    reason: str
    after_s: float
    answer: str = ""
    alert: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """This event can never succeed at this target.

    `sent` is false when the target was not asked, so that nothing is learned
    of it.
    """

    reason: str
    hint: str = ""
    answer: str = ""
    sent: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """This event is not for this target; `sent` is false when the target was not asked."""

    reason: str
    sent: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Disable:
    """The target does not want any more events, now or later."""

    reason: str
    answer: str = ""


Outcome = Delivered | Retry | Hold | Reject | Skip | Disable
"""What came of one attempt."""
