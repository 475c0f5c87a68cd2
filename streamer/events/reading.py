"""Batches of a channel as they are read, and the positions after which reading goes on."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from streamer.events.event import Channel, EventId, ReplayId


class Start(StrEnum):
    """Position at which reading begins when no other is known."""

    LATEST = "latest"
    EARLIEST = "earliest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A piece of a response that could not be read as a message.

    `error` can quote the piece; `summary`, where there is one, says what it can
    without that. `event_id` belongs to an event that was read and can't be stored.
    `schema_id` and `event_uuid` came beside the piece, where they are known; with
    the schema, an Avro payload can be decoded later.
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
    between it and this batch can be missing. `unmarked_since` (epoch seconds)
    comes once with each subscription that begins at a time, because neither an
    id nor an event marks the place: what Salesforce does not retain of the
    events since then is missing. `org_time` is Salesforce's time in the answer,
    in epoch seconds, where the transport names it.
    """

    channel: Channel
    read_at: float
    messages: Sequence[Any] = ()
    unreadable: Sequence[Unreadable] = ()
    more: bool = False
    position: ReplayId | None = None
    place_lost: bool = False
    unmarked_since: float | None = None
    org_time: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Position up to which a channel has been appended to the log.

    The log is complete up to and including `replay_id`; with `None` it holds
    nothing yet. `appended` are the ids of later events that the log already
    holds: the events of a split message share one replay id, and reading
    resumes before all of them. `open_replay_id` is the replay id of those
    events, and `None` once an answer without events has shown that no other one
    shares it. Then the ids mark the place on the other transport. `verified_at`
    (epoch seconds) is the last moment at which no event was known to be missing.
    `positioned_at` is the time of the event, or of the answer, that the ids are
    of, and `None` where it is unknown: once it is older than the retention,
    Salesforce can forget them although nothing is missing.
    While there is no `replay_id` because an operator has skipped events,
    `skips_after` is the id before them: reading can begin behind it, and time or
    the last event says what follows the skipped ones.
    """

    channel: Channel
    replay_id: ReplayId | None
    verified_at: float
    appended: tuple[EventId, ...] = ()
    open_replay_id: ReplayId | None = None
    positioned_at: float | None = None
    skips_after: ReplayId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEventsAfter(Checkpoint):
    """Checkpoint behind which an operator skips all but new events: the first subscription asks for those.

    A later one, while no answer has come, begins behind `skips_after`.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class SoughtPlace(Checkpoint):
    """Checkpoint whose last event is sought among the messages after `replay_id`, which an operator named.

    The other fields come from the log's checkpoint. Messages in the log are not
    yielded again; messages after its last event are.
    """
