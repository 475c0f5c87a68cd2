"""Continuity records for the holes that ingest detects."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import uuid4

from streamer.clock import CLOCKS_DIFFER_S
from streamer.events import (
    Channel,
    Checkpoint,
    ContinuityRecord,
    Event,
    HoleCause,
    Repair,
    Start,
    optional_replay_text,
    record_id_of,
    replay_id_to_text,
)
from streamer.ingest.positions.checkpoints import complete_until

# Salesforce's ids are short. A longer id must not make a record too large for the log.
_LONGEST_ID = 200
_LONGEST_DETAIL = 500
# The record of a GAP_DELETE is gone.
_OF_PRESENT_RECORD = frozenset({"GAP_CREATE", "GAP_UPDATE", "GAP_UNDELETE"})
# The detail of a hole that an earlier version of Streamer recorded.
_OF_RECORD = re.compile(r"GAP_(?:CREATE|UPDATE|UNDELETE) of \w+ ([A-Za-z0-9]+)", re.ASCII)


def holes_of(events: Sequence[Event], channel: Channel, read_at: float) -> list[ContinuityRecord]:
    """Return the records of the gap events in `events`.

    If an event is read again, its record gets the same id.

    `read_at` is in epoch seconds. The hole ends at the commit time in the gap
    event.
    """
    return [_hole_of(event, channel, read_at) for event in events if event.is_gap]


def gap_hole_id(event: Event) -> str:
    """Return the id of the continuity record of a gap event."""
    return _bounded(f"gap:{event.id}")


def record_of_gap(hole: ContinuityRecord) -> str | None:
    """Return the id of the only record whose values are missing, or `None` if there can be others."""
    if hole.cause is not HoleCause.GAP_EVENT or hole.record is not None:
        return hole.record
    found = _OF_RECORD.match(hole.detail)
    return record_id_of(found[1]) if found else None


def refused_hole(
    channel: Channel, checkpoint: Checkpoint | None, resumes_at: Start, now: float
) -> ContinuityRecord:
    """Return the record of a replay id that Salesforce refused at `now`, in epoch seconds.

    No event is missing if three conditions hold. Reading resumes at the earliest
    retained event. The last time at which nothing was missing is within the
    retention. The refused id is older than the retention, so Salesforce dropped
    it because of its age.

    If a younger id is refused, the stream was reset and retains no event from
    before the reset. After a reset, or if reading resumes at the latest event,
    events are missing up to `now`. Otherwise events are missing up to the first
    retained event.
    """
    verified = complete_until(checkpoint)
    retained_from = now - channel.retention_s
    is_earliest = resumes_at is Start.EARLIEST
    is_retained = verified is not None and verified - CLOCKS_DIFFER_S >= retained_from
    positioned_at = checkpoint.positioned_at if checkpoint else None
    is_aged = positioned_at is not None and positioned_at <= retained_from + CLOCKS_DIFFER_S
    return ContinuityRecord(
        id=_refused_id(channel, checkpoint),
        channel=channel,
        cause=HoleCause.REPLAY_ID_REFUSED,
        detail=f"Salesforce refused the replay id; reading continues at the {resumes_at} event",
        recorded_at=now,
        state=Repair.FULL if is_earliest and is_retained and is_aged else Repair.NONE,
        after=checkpoint.replay_id if checkpoint else None,
        verified_at=verified,
        until=retained_from if is_earliest and not is_retained else now,
    )


def without_place(hole: ContinuityRecord) -> ContinuityRecord:
    """Return the record of a refused replay id, changed because the last event was not found either."""
    if hole.state is not Repair.FULL:
        return hole
    return replace(
        hole,
        state=Repair.NONE,
        detail=f"{hole.detail}; Salesforce no longer retains the last event that is in the log",
    )


def lost_place(channel: Channel, checkpoint: Checkpoint, now: float) -> ContinuityRecord:
    """Return the record for a last event that Salesforce, at `now` (epoch seconds), does not retain.

    Salesforce keeps events in order. So no event is missing if Salesforce dropped
    the last event because of its age. Otherwise the stream was reset.
    """
    last = optional_replay_text(checkpoint.open_replay_id)
    return ContinuityRecord(
        id=_bounded(f"place:{channel}:{last}:{checkpoint.verified_at:.3f}"),
        channel=channel,
        cause=HoleCause.PLACE_LOST,
        detail=(
            "Salesforce no longer retains the last event that is in the log; reading continues at "
            "the earliest retained event"
        ),
        recorded_at=now,
        state=Repair.NONE,
        after=checkpoint.open_replay_id,
        verified_at=complete_until(checkpoint),
        until=now,
    )


def forgotten_until(channel: Channel, since: float, now: float) -> float | None:
    """Return the time before which Salesforce can have dropped events committed after `since`.

    All times are in epoch seconds. `None` means that Salesforce retains all these
    events at `now`, even if the clocks differ.
    """
    retained_from = now - channel.retention_s
    return None if since - CLOCKS_DIFFER_S >= retained_from else retained_from


def hole_before(channel: Channel, since: float, now: float) -> ContinuityRecord | None:
    """Return the record of the events after `since` that Salesforce no longer retains, or `None`.

    The channel will be read from `since`. All times are in epoch seconds.
    """
    retained_from = forgotten_until(channel, since, now)
    if retained_from is None:
        return None
    return ContinuityRecord(
        # A channel starts only once: its first checkpoint enters the log with this record.
        id=_bounded(f"start:{channel}:{now:.3f}"),
        channel=channel,
        cause=HoleCause.BEFORE_RETENTION,
        detail=(
            "The channel's start is older than Salesforce's retention; reading begins at the "
            "earliest retained event"
        ),
        recorded_at=now,
        state=Repair.NONE,
        verified_at=since,
        until=retained_from,
    )


def unmarked_hole(channel: Channel, since: float, until: float, now: float) -> ContinuityRecord:
    """Return the record of events that Salesforce dropped before `until`; no id marks the position.

    All times are in epoch seconds. As far as known, no event before `since` is
    missing. `now` is the time of the record.
    """
    return ContinuityRecord(
        # The same position can be read again before the record is in the log.
        id=_bounded(f"place:{channel}::{since:.3f}"),
        channel=channel,
        cause=HoleCause.PLACE_LOST,
        detail="The log holds no event at the position, and the position is older than Salesforce's "
        "retention; reading continues at the earliest retained event",
        recorded_at=now,
        state=Repair.NONE,
        verified_at=since,
        until=until,
    )


def forgotten_too(hole: ContinuityRecord, until: float, now: float) -> ContinuityRecord:
    """Return a position's record, extended by the events that Salesforce dropped before `until`."""
    detail = hole.detail
    if hole.state is Repair.FULL:
        detail = f"{detail}; Salesforce no longer retains all events after that position"
    later = max(until, hole.until or until)
    return replace(hole, state=Repair.NONE, detail=detail[:_LONGEST_DETAIL], until=later, recorded_at=now)


def first_snapshot(channel: Channel, now: float) -> ContinuityRecord:
    """Return the record of the snapshot with which a channel starts at `now`, in epoch seconds."""
    return ContinuityRecord(
        id=_bounded(f"start:{channel}:{now:.3f}"),
        channel=channel,
        cause=HoleCause.SNAPSHOT,
        detail="The channel starts with a snapshot of the records of its entities",
        recorded_at=now,
        state=Repair.NONE,
    )


def _hole_of(event: Event, channel: Channel, read_at: float) -> ContinuityRecord:
    change, entity, cause = event.data["change"], event.data["entity"], _cause(event)
    is_of_record = cause is HoleCause.GAP_EVENT and change in _OF_PRESENT_RECORD
    return ContinuityRecord(
        id=gap_hole_id(event),
        channel=channel,
        cause=cause,
        detail=f"{change} of {entity} {event.subject}"[:_LONGEST_DETAIL],
        recorded_at=read_at,
        state=Repair.NONE,
        entity=entity[:_LONGEST_ID],
        after=event.replay_id,
        until=datetime.fromisoformat(event.time).timestamp(),
        record=record_id_of(event.subject) if is_of_record else None,
    )


def _cause(event: Event) -> HoleCause:
    if event.data["change"] == "GAP_OVERFLOW":
        return HoleCause.OVERFLOW
    return HoleCause.ENTITY_CHANGE if (event.subject or "").endswith("*") else HoleCause.GAP_EVENT


def _refused_id(channel: Channel, checkpoint: Checkpoint | None) -> str:
    if checkpoint is None:
        return f"refused:{uuid4()}"
    # The same position can be refused again before the record is in the log.
    after = "" if checkpoint.replay_id is None else replay_id_to_text(checkpoint.replay_id)
    return _bounded(f"refused:{channel}:{after}:{checkpoint.verified_at:.3f}")


def _bounded(id_: str) -> str:
    if len(id_) <= _LONGEST_ID:
        return id_
    digest = hashlib.sha256(id_.encode("utf-8", "backslashreplace")).hexdigest()
    return f"{id_.partition(':')[0]}:sha256:{digest}"
