"""Moves of a channel's position by an operator's order, and their continuity records."""

from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any

from streamer.clock import CLOCKS_DIFFER_S
from streamer.controls import ChannelPosition, PositionOrder
from streamer.events import (
    Channel,
    Checkpoint,
    ContinuityRecord,
    HoleCause,
    NewEventsAfter,
    Repair,
    ReplayId,
    SoughtPlace,
    Start,
    optional_replay_text,
    replay_id_to_text,
)
from streamer.ingest.positions.checkpoints import ChannelStart, Since, source_position, verified_at
from streamer.ingest.positions.holes import refused_hole

_LONGEST_DETAIL = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Effect of an order: reading continues from `after`.

    `state` describes the events between `lost_from` and `lost_until` (epoch
    seconds; `lost_from` is `None` if the log has no checkpoint). `Repair.FULL`
    means that no event is missing. `skips` is true if the operator wants to skip
    these events, so that no repair reads the records of these events.
    """

    after: Checkpoint | Start
    state: Repair
    lost_from: float | None
    lost_until: float
    detail: str
    skips: bool = False
    with_snapshot: bool = False


def move_of(
    order: PositionOrder, channel: Channel, checkpoint: Checkpoint | None, start: ChannelStart, now: float
) -> Move:
    """Return the effect of `order` at `now` (epoch seconds), given the log's `checkpoint`.

    `start` is the channel's configured start. The log is complete up to a known
    time. An order for a later position skips the events in between. An order for an
    earlier position loses no event, if Salesforce still retains the events since
    the known time.
    """
    if order.place is ChannelPosition.START:
        return _to_start(order, channel, checkpoint, start, now)
    verified = verified_at(checkpoint)
    match order:
        case PositionOrder(place=ChannelPosition.SINCE, since=float(since)):
            if verified is not None and since > verified:
                after = source_position(channel, Since(at=since))
                return _skipping(after, verified, since, f"at {_text(since)}")
            return _back(order, channel, checkpoint, now, Since(at=since))
        case PositionOrder(place=ChannelPosition.REPLAY_ID, replay_id=bytes(replay_id)):
            named = ReplayId(replay_id)
            sought, is_known = _behind(named, checkpoint)
            # Only a last event that is known by its event id shows on which side of it the replay id is.
            state = Repair.FULL if is_known or verified is None else Repair.NONE
            where = f"after the replay id {replay_id_to_text(named)}"
            unknown = (
                ""
                if state is Repair.FULL
                else "; Streamer can't tell whether that id is before or after the last event in the log"
            )
            return Move(
                after=sought or Checkpoint(channel=channel, replay_id=named, verified_at=0.0),
                state=state,
                lost_from=verified,
                lost_until=now,
                detail=f"{where}{unknown}",
                skips=state is Repair.NONE,
            )
        case PositionOrder(place=ChannelPosition.LATEST):
            return _skipping(_new_events(channel, checkpoint, now), verified, now, "with new events")
        case _:
            return _back(order, channel, checkpoint, now, None)


def position_record(
    move: Move, order: PositionOrder, channel: Channel, checkpoint: Checkpoint | None, now: float
) -> ContinuityRecord:
    """Return the record of an order that is executed at `now`, in epoch seconds."""
    again = ", and Streamer writes events again that the log already holds" if order.repeat else ""
    return ContinuityRecord(
        id=order.id,
        channel=channel,
        cause=HoleCause.POSITION_SET,
        detail=f"{order.by} set the position: reading continues {move.detail}{again}"[:_LONGEST_DETAIL],
        recorded_at=now,
        state=move.state,
        after=checkpoint.replay_id if checkpoint else None,
        verified_at=move.lost_from,
        until=move.lost_until,
    )


def known_place(after: Checkpoint | Start) -> Checkpoint | None:
    """Return the position `after` if an id or the last event marks this position; otherwise `None`.

    It is valid as long as the source finds that position.
    """
    if not isinstance(after, Checkpoint):
        return None
    if isinstance(after, NewEventsAfter):
        return Checkpoint(**_values(after))
    if not isinstance(after, SoughtPlace):
        return after if after.appended or after.replay_id is not None else None
    if after.open_replay_id is None and after.skips_after is None:
        return None
    # The id that the operator named marks another position.
    return Checkpoint(**_values(after) | {"replay_id": None})


def refused_move(
    record: ContinuityRecord, checkpoint: Checkpoint | None, now: float
) -> tuple[ContinuityRecord, Checkpoint | Start]:
    """Return the record and the position of an order to read after the replay id of `checkpoint`.

    Salesforce refused that replay id at `now` (epoch seconds). So all retained
    events are read, and time decides which retained events the log already holds.
    """
    refused = refused_hole(record.channel, checkpoint, Start.EARLIEST, now)
    detail = f"{record.detail}; Salesforce refused the replay id in the log"[:_LONGEST_DETAIL]
    after = without_ids(checkpoint) if checkpoint is not None else Start.EARLIEST
    if refused.state is Repair.FULL or record.state is not Repair.FULL:
        return replace(record, detail=detail), after
    return replace(record, detail=detail, state=refused.state, until=refused.until), after


def skipped_to_id(record: ContinuityRecord) -> ContinuityRecord:
    """Return the record of an order whose replay id proved to be after the log's last event."""
    detail = (
        f"{record.detail}; that id is after the last event in the log, so the events in between are skipped"
    )
    return replace(record, state=Repair.NONE, detail=detail[:_LONGEST_DETAIL])


def without_ids(checkpoint: Checkpoint) -> Checkpoint:
    """Return `checkpoint` without replay ids, so that only its last event or its time marks the position."""
    return replace(checkpoint, replay_id=None, skips_after=None)


def unchanged_record(record: ContinuityRecord, order: PositionOrder, said: str) -> ContinuityRecord:
    """Return the record of an `order` whose replay id Salesforce refused; the position is unchanged."""
    named = optional_replay_text(order.replay_id)
    detail = (
        f"{order.by} ordered to read after the replay id {named}, but Salesforce refused that id, so "
        f"the position is unchanged. {said}"
    )
    return replace(
        record,
        cause=HoleCause.POSITION_REFUSED,
        state=Repair.FULL,
        detail=detail[:_LONGEST_DETAIL],
        until=record.verified_at,
    )


def _to_start(
    order: PositionOrder, channel: Channel, checkpoint: Checkpoint | None, start: ChannelStart, now: float
) -> Move:
    if isinstance(start, Since):
        meant = replace(order, place=ChannelPosition.SINCE, since=start.at)
    else:
        meant = replace(
            order, place=ChannelPosition.EARLIEST if start is Start.EARLIEST else ChannelPosition.LATEST
        )
    move = move_of(meant, channel, checkpoint, start, now)
    return replace(move, with_snapshot=start == "snapshot")


def _skipping(after: Checkpoint | Start, lost_from: float | None, until: float, where: str) -> Move:
    state = Repair.FULL if lost_from is None else Repair.NONE
    return Move(after=after, state=state, lost_from=lost_from, lost_until=until, detail=where, skips=True)


def _new_events(channel: Channel, checkpoint: Checkpoint | None, now: float) -> Checkpoint | Start:
    """Return the position of new events; it names the id and the time after which the log has no event."""
    known = None
    if checkpoint is not None:
        known = checkpoint.open_replay_id or checkpoint.replay_id or checkpoint.skips_after
    if checkpoint is None or known is None:
        return Start.LATEST
    positioned_at = checkpoint.positioned_at
    if positioned_at is not None and known == checkpoint.replay_id:
        # Our clock dates a quiet answer. If our clock is ahead, new events can have earlier times.
        positioned_at -= CLOCKS_DIFFER_S
    return NewEventsAfter(
        channel=channel,
        replay_id=None,
        verified_at=now,
        positioned_at=positioned_at,
        skips_after=known,
    )


def _back(
    order: PositionOrder, channel: Channel, checkpoint: Checkpoint | None, now: float, since: Since | None
) -> Move:
    verified = verified_at(checkpoint)
    retained_from = now - channel.retention_s
    is_retained = verified is None or verified - CLOCKS_DIFFER_S >= retained_from
    where = "at the earliest retained event" if since is None else f"at {_text(since.at)}"
    if checkpoint is not None and not order.repeat:
        # Without the id, the source uses the last event to drop what the log already holds.
        # After a quiet answer no event is open, so only the id marks the position.
        is_open = checkpoint.open_replay_id is not None
        after: Checkpoint | Start = replace(checkpoint, replay_id=None) if is_open else checkpoint
        where = "with the first retained event that the log does not hold"
    else:
        after = Start.EARLIEST if since is None else source_position(channel, since)
    return Move(
        after=after,
        state=Repair.FULL if is_retained else Repair.NONE,
        lost_from=verified,
        lost_until=now if is_retained else retained_from,
        detail=where,
    )


def _behind(replay_id: ReplayId, checkpoint: Checkpoint | None) -> tuple[Checkpoint | None, bool]:
    """Return the position after a replay id.

    The second value is true if reading can show that this id is after the log's
    end.
    """
    if checkpoint is None:
        return None, False
    if replay_id in {checkpoint.replay_id, checkpoint.open_replay_id}:
        # This id is the log's end: the last event can't follow it.
        return checkpoint, True
    values = _values(checkpoint)
    # The id of a quiet answer can belong to the last event, and then finds that event.
    last = checkpoint.open_replay_id or checkpoint.replay_id
    appended = checkpoint.appended if checkpoint.open_replay_id is not None else ()
    values |= {"replay_id": replay_id, "open_replay_id": last, "appended": appended}
    return SoughtPlace(**values), bool(appended)


def _values(checkpoint: Checkpoint) -> dict[str, Any]:
    return {each.name: getattr(checkpoint, each.name) for each in fields(checkpoint)}


def _text(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
