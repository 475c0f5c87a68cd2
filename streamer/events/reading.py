"""Batches of a channel, and the positions at which reading continues."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from streamer.events.event import Channel, EventId, ReplayId


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A piece of a response that could not be read as a message.

    `error` can quote the piece; `summary`, if set, describes the error without a
    quotation. `event_id` is set for an event that was read but can't be stored.
    `schema_id` and `event_uuid` accompanied the piece, if known; with the schema,
    an Avro payload can be decoded later.
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
    """Result of one read of a channel; a batch can be empty.

    `messages` are payloads of the transport, in Salesforce's order; a normaliser turns
    each into events. `read_at` is in epoch seconds. `org_time` is Salesforce's time in
    the answer, in epoch seconds, if the transport reports it. A large answer has
    several batches, and `more` is true in all but the last. In an empty batch,
    `position` is the position that Salesforce reports; without `position`, the position
    of the last message stays valid.

    `place_lost` means that Salesforce no longer retains the last event in the log, so
    events between that event and this batch can be missing. A subscription begins at a
    time if neither an id nor an event marks the position. Then `unmarked_since` has
    this time (epoch seconds) in one batch of the subscription: events since then that
    Salesforce no longer retains are missing.
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

    The log is complete up to and including `replay_id`, which is `None` while no
    replay id is complete. `appended` are the ids of later events that the log
    already has, because the events of a split message share one replay id, and
    reading resumes before all these events. `open_replay_id` is the replay id of
    the events in `appended`. `open_replay_id` is `None` once an answer without
    events has shown that no further event has that replay id; then the ids in
    `appended` mark the position on the other transport.

    `verified_at` (epoch seconds) is the last time up to which, as far as known, no
    event is missing. `positioned_at` is the time of the event or answer with the
    replay ids, or `None` if unknown. If `positioned_at` is older than the
    retention, Salesforce can have dropped the replay ids although no event is
    missing.

    If an operator skips events, there is no `replay_id` at first. Then
    `skips_after` is the replay id before the skipped events. Reading can begin
    after `skips_after`, and a time or the last event marks the end of the skipped
    events.
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
    """Checkpoint after which an operator skips all events except new events.

    The first subscription requests new events. If there was no answer yet, a later
    subscription begins after `skips_after`.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class SoughtPlace(Checkpoint):
    """Checkpoint whose last event is sought among the messages after `replay_id`.

    An operator named `replay_id`; the other fields come from the log's checkpoint.
    Messages after the log's last event are yielded; messages that the log already
    has are not yielded again.
    """
