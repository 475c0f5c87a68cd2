"""Values that travel from Salesforce through the log to the targets.

This module does no I/O and knows no transport, log or target.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NewType, TypeVar, dataclass_transform

from streamer.channel_paths import ChannelKind

OrgId = NewType("OrgId", str)
"""The 18-character id of a Salesforce org."""

ReplayId = NewType("ReplayId", bytes)
"""Salesforce's position in a channel: opaque bytes, never computed with.

The integers of CometD are kept as their decimal digits in ASCII. Any other
bytes are a position of the Pub/Sub API.
"""

EventId = NewType("EventId", str)
"""Deterministic id of an event: reading the event again gives the same one."""

SubscriberName = NewType("SubscriberName", str)
"""The key of a subscriber in the configuration."""

JsonObject = dict[str, Any]

_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?", re.ASCII)
_SUFFIXES = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
# The event of an overflow has this id (Change Data Capture guide, overflow events).
_NO_RECORD = "000000000000000AAA"


def short_id(record_id: str) -> str:
    """Return the 15 characters of an id that count: the last three of 18 only check the others."""
    return record_id[:15]


def record_id_of(value: object) -> str | None:
    """Return `value` as a record's id with 18 characters, or `None` for anything else than an id.

    The last three characters tell which of the others are capitals.
    """
    if not isinstance(value, str) or _ID.fullmatch(value) is None or value == _NO_RECORD:
        return None
    if len(value) > 15:  # noqa: PLR2004 - the number in the pattern
        return value
    parts = (value[begin : begin + 5] for begin in (0, 5, 10))
    return value + "".join(_SUFFIXES[_capitals(part)] for part in parts)


def _capitals(part: str) -> int:
    return sum(1 << place for place, letter in enumerate(part) if letter.isupper())


class WrittenText(str):
    """Text in a `body` that an operator wrote in the configuration, and no event holds."""

    __slots__ = ()


# A platform event can be named `gap`.
_CHANGES = "salesforce.cdc."
_RECORDS = (_CHANGES, "salesforce.topic.")

_Class = TypeVar("_Class")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def _value_of_every_event(cls: type[_Class]) -> type[_Class]:
    """Make `cls` a dataclass that only the type checker keeps frozen.

    Python sets each field of a frozen dataclass by a call. For each event that
    takes 1 µs of the 12 for parsing, normalising and encoding.
    """
    return dataclass(slots=True, kw_only=True)(cls)


class Start(StrEnum):
    """Position at which reading begins when no other is known."""

    LATEST = "latest"
    EARLIEST = "earliest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One subscription path of one org, such as `/data/ChangeEvents`."""

    org: OrgId
    path: str

    @property
    def retention_s(self) -> float:
        """Time for which Salesforce retains the events of this channel, in seconds."""
        return ChannelKind.of(self.path).retention_s

    def expires_at(self, verified_at: float) -> float:
        """Return when Salesforce can forget what follows `verified_at`, both in epoch seconds."""
        return verified_at + self.retention_s

    def __str__(self) -> str:
        """Return `org/path`, the key of this channel in the log."""
        return f"{self.org}{self.path}"


@_value_of_every_event
class Event:
    """One change to one record, or one message: a CloudEvents 1.0 event.

    `time` is RFC 3339 in UTC with milliseconds: the commit time, or for a record
    of a snapshot the time at which it was read. Events with the same `key` stay
    in order. `channel` (a path) and `replay_id` are the event's position; the
    same change of the org read elsewhere differs in these alone. An event that
    was forwarded has in `receipts` what became of it at each upstream
    subscriber, by the subscriber's name.
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
    receipts: JsonObject | None = None

    @property
    def is_change(self) -> bool:
        """True for a change event, and for a record that was read in its place."""
        return self.type.startswith(_CHANGES)

    @property
    def is_gap(self) -> bool:
        """True for a change event that stands for changes which Salesforce does not tell."""
        return self.is_change and self.type.endswith(".gap")

    @property
    def is_deletion(self) -> bool:
        """True for the change event, or the PushTopic notification, of a deleted record."""
        return self.type.startswith(_RECORDS) and self.type.endswith(".deleted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A piece of a response that could not be read as a message.

    `error` can quote the piece; `summary`, where there is one, says what it can
    without that. `event_id` is that of an event which was read and can't be
    stored. `schema_id` and `event_uuid` are what came beside the piece, where
    they are known; with the schema, an Avro payload can be decoded later.
    """

    raw: bytes
    error: str
    replay_id: ReplayId | None = None
    summary: str = ""
    event_id: EventId | None = None
    schema_id: str = ""
    event_uuid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Result of one read of a channel, possibly without messages.

    `messages` are the transport's own payloads, in Salesforce's order; a
    normaliser turns each into events. `read_at` is in epoch seconds. A large
    answer comes in several batches; in all but the last, `more` is true. The
    `position` of an empty batch is where Salesforce says that reading has come
    to; without one, it is where the last message was. `place_lost` says that the
    last event in the log is not among those that Salesforce retains: others
    between it and this batch can be missing.
    """

    channel: Channel
    read_at: float
    messages: Sequence[Any] = ()
    unreadable: Sequence[Unreadable] = ()
    more: bool = False
    position: ReplayId | None = None
    place_lost: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Position up to which a channel has been appended to the log.

    The log is complete up to and including `replay_id`; with `None` it holds
    nothing yet. `appended` are the ids of later events that the log already
    holds: the events of a split message share one replay id, and reading
    resumes before all of them. `open_replay_id` is the replay id of those
    events. `verified_at` (epoch seconds) is the last moment at which no event
    was known to be missing. `positioned_at` is the time of the event, or of the
    answer, that the ids are of, and `None` where it is unknown: once it is older
    than the retention, Salesforce can forget them although nothing is missing.
    """

    channel: Channel
    replay_id: ReplayId | None
    verified_at: float
    appended: tuple[EventId, ...] = ()
    open_replay_id: ReplayId | None = None
    positioned_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SoughtPlace(Checkpoint):
    """Checkpoint whose last event is to be found among what follows `replay_id`, which an operator named.

    The other fields are those of the log's checkpoint. What the log holds
    already is not yielded again, and what follows its last event is.
    """


class HoleCause(StrEnum):
    """Reason for which events are, or can be, missing."""

    REPLAY_ID_REFUSED = "replay_id_refused"
    PLACE_LOST = "place_lost"
    """The last event in the log is not among those that are retained, and had no complete replay id."""
    BEFORE_RETENTION = "before_retention"
    """A new channel starts at a time of which Salesforce retains no events any more."""
    POSITION_SET = "position_set"
    """An operator has ordered to read on at another place."""
    GAP_EVENT = "gap_event"
    """An event names records that have changed, without their values."""
    OVERFLOW = "overflow"
    """A transaction had more changes than Salesforce tells of, in one entity."""
    ENTITY_CHANGE = "entity_change"
    """All records of an entity have changed: the event names `001*`."""
    SNAPSHOT = "snapshot"
    """An operator asks for the records of an entity, or a new channel starts with those of its entities."""


class Repair(StrEnum):
    """State of a hole; all but `OPEN` are final."""

    OPEN = "open"
    """It waits for its repair, or its repair is under way."""
    FULL = "full"
    """Nothing is missing."""
    PARTIAL = "partial"
    """Something is missing, and nothing will repair it."""
    NONE = "none"
    """Nothing was repaired, and nothing will try."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinuityRecord:
    """Durable record of a hole in a channel, or of a snapshot: its place, its cause and its repair.

    The log keeps the last state of each `id`. The hole begins behind the replay
    id `after`, or at `verified_at`, and ends at `until`, which is `None` while
    it is open-ended. `entity` is the API name of the object that it concerns,
    `None` for all of the channel. A repair keeps its own position in
    `progress`, a small object of JSON, and counts the records that it has
    `found` in the org, and the events of them that it has `published`. Times
    are epoch seconds; `updated_at` is that of the last change of the state, and
    `None` before the first.
    """

    id: str
    channel: Channel
    cause: HoleCause
    detail: str
    recorded_at: float
    state: Repair
    entity: str | None = None
    after: ReplayId | None = None
    verified_at: float | None = None
    until: float | None = None
    progress: JsonObject = field(default_factory=dict)
    found: int = 0
    published: int = 0
    updated_at: float | None = None

    @property
    def is_new(self) -> bool:
        """True for the first state of a record."""
        return self.updated_at is None

    @property
    def is_unrepaired(self) -> bool:
        """True for a final state in which events stay missing."""
        return self.state in {Repair.PARTIAL, Repair.NONE}


class Stage(StrEnum):
    """Side of the log that set an event aside."""

    INGEST = "ingest"
    DISPATCH = "dispatch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """One ordered part of the log, and the unit in which processes share work."""

    topic: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """Event set aside, with everything that is needed to understand and redrive it.

    `id` is the same when the same event is set aside again. `reason` is a
    stable word to filter by, `error` a sentence, `hint` advice for the
    operator, and `first_error` the error of the first attempt. `raw` holds the
    bytes that could not be read or appended. `schema_id` is that of their
    schema, and `event_uuid` the id that came beside an Avro payload; both are
    empty where unknown. `partition` and `offset` are the event's place in the
    log, if it had one. Times are epoch seconds.
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
    schema_id: str = ""
    event_uuid: str = ""
    event: Event | None = None
    subscriber: SubscriberName | None = None
    attempts: int = 0
    first_error: str = ""
    answer: str = ""
    partition: Partition | None = None
    offset: int | None = None

    @property
    def channel_path(self) -> str:
        """Path of the channel, which can have its org before it."""
        return self.channel[max(0, self.channel.find("/")) :]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Event at its place in the log, where it takes `size` bytes."""

    partition: Partition
    offset: int
    event: Event
    size: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Settled offsets of one subscriber in one partition.

    Every offset below `next_offset` is settled, and so is each in
    `settled_above`.
    """

    next_offset: int
    settled_above: frozenset[int] = frozenset()

    def covers(self, offset: int) -> bool:
        """Return true for a settled `offset`."""
        return offset < self.next_offset or offset in self.settled_above

    @property
    def end(self) -> int:
        """Offset after the last settled one."""
        return max(self.next_offset, max(self.settled_above, default=-1) + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setback:
    """Failures of the head of a lane, and the time of its next attempt.

    `attempts` were spent on it. `first_failed_at` and `due_at` are epoch seconds.
    """

    attempts: int
    first_failed_at: float
    due_at: float
    first_error: str
    last_error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedLane:
    """Lane that the log keeps because its head keeps failing.

    `offsets` are the places of its events in the partition that they were read
    from, rising.
    """

    lane: str
    offsets: tuple[int, ...]
    setback: Setback


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Durable record of a finished delivery, with the target's answer.

    `attempts` includes the one that succeeded, which took `seconds`. The other
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
class Forwarded:
    """Event that a subscriber has settled, forwarded to the subscriber `to`, which comes after it.

    The `receipts` of the event name the subscriber, and those before it. `at`
    is in epoch seconds.
    """

    to: SubscriberName
    event: Event
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """Bytes that a target gets as they are, of a media type such as `application/xml`."""

    data: bytes
    type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event on its way to one target.

    `key` is the idempotency key: the same on every attempt, after restarts and
    redrives. `attempt` counts from 1. `body` is the event in the target's own
    shape, and `{}` where the event carries nothing of it; its numbers can be
    `Decimal`. `content` is sent in place of it, by a plugin that takes it.
    `text` is a sentence for people. Each is `None` where not configured.
    `receipts` are those of the subscribers after which this one comes, by name.
    `traceparent` is the attempt's span as W3C Trace Context writes it, for the
    header of this name of the request; `None` where tracing is off.
    """

    event: Event
    key: str
    attempt: int
    body: Any = None
    text: str | None = None
    content: Content | None = None
    receipts: Mapping[str, Any] = field(default_factory=dict)
    traceparent: str | None = None


class FailureClass(StrEnum):
    """Kind of a failed attempt, for metrics and lists; a plugin names the one that fits best."""

    HTTP_3XX = "http_3xx"
    HTTP_4XX = "http_4xx"
    HTTP_5XX = "http_5xx"
    RATE_LIMITED = "rate_limited"
    """The target asks for fewer requests."""
    REFUSED_CREDENTIALS = "refused_credentials"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    """No connection, or one that broke."""
    UNEXPECTED_ANSWER = "unexpected_answer"
    """The target reports success, but not in its own words."""
    REJECTED = "rejected"
    """The event can never succeed, and no status says so."""
    BROKEN_ROUTE = "broken_route"
    """The subscriber's `when`, `body`, `content` or `text` fails on the event."""
    LOOKUP = "lookup"
    """A record that the subscriber's `enrich` names could not be read."""
    PLUGIN_ERROR = "plugin_error"
    """The plugin raised something, or returned no outcome."""
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """The target has accepted the event, with `answer`."""

    answer: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """This event can succeed later; `after_s`, where the target asked for it, overrides the schedule."""

    reason: str
    after_s: float | None = None
    answer: str = ""
    failure: FailureClass = FailureClass.OTHER


LONGEST_PAUSE_S = 86_400.0
"""Longest `after_s` of an outcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """The whole target needs a pause of `after_s`; it costs this event no attempt.

    `alert` means that the target takes nothing until an operator acts.
    """

    reason: str
    after_s: float
    answer: str = ""
    alert: bool = False
    failure: FailureClass = FailureClass.OTHER


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """This event can never succeed at this target.

    `sent` is false when no request was sent, so that the outcome says nothing
    about the target's health.
    """

    reason: str
    hint: str = ""
    answer: str = ""
    sent: bool = True
    failure: FailureClass = FailureClass.REJECTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """This event is not for this target; `sent` is false when no request was sent."""

    reason: str
    sent: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Disable:
    """The target wants no more events, now or later."""

    reason: str
    answer: str = ""
    failure: FailureClass = FailureClass.OTHER


Outcome = Delivered | Retry | Hold | Reject | Skip | Disable
"""Result of one attempt at a delivery."""
