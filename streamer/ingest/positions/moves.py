"""Moves of a position by an order, and their continuity records."""

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
    """Effect of an order: reading continues `after` a position.

    `state` is what is known beforehand of the events behind `lost_from` (epoch
    seconds, `None` where the log has no checkpoint) and before `lost_until`:
    with `Repair.FULL` none is missing. `skips` is true where the operator wants
    them left out, so that nothing reads their records.
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
    """Return what `order` comes to at `now` (epoch seconds), where the log has `checkpoint`.

    `start` is the channel's in the configuration. Events behind the last moment
    at which nothing was missing are left out by a place beyond it. A place
    before it loses nothing while that moment lies within the retention.
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
            # Without a last event that is known by its id, nothing shows on which side of it the id lies.
            state = Repair.FULL if is_known or verified is None else Repair.NONE
            where = f"behind the replay id {replay_id_to_text(named)}"
            unknown = "" if state is Repair.FULL else "; the log can't tell whether that is further on"
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
    """Return the record of an order that is carried out at `now`, in epoch seconds."""
    again = ", and what the log holds of that is repeated" if order.repeat else ""
    return ContinuityRecord(
        id=order.id,
        channel=channel,
        cause=HoleCause.POSITION_SET,
        detail=f"{order.by} has set the position: reading continues {move.detail}{again}"[:_LONGEST_DETAIL],
        recorded_at=now,
        state=move.state,
        after=checkpoint.replay_id if checkpoint else None,
        verified_at=move.lost_from,
        until=move.lost_until,
    )


def known_place(after: Checkpoint | Start) -> Checkpoint | None:
    """Return the position of a channel that reads on `after`, where an id or the last event marks it.

    It holds as long as the source finds that place. `None` where the log can't know it.
    """
    if not isinstance(after, Checkpoint):
        return None
    if isinstance(after, NewEventsAfter):
        return Checkpoint(**_values(after))
    if not isinstance(after, SoughtPlace):
        return after if after.appended or after.replay_id is not None else None
    if after.open_replay_id is None and after.skips_after is None:
        return None
    # The id that the operator named lies elsewhere.
    return Checkpoint(**_values(after) | {"replay_id": None})


def refused_move(
    record: ContinuityRecord, checkpoint: Checkpoint | None, now: float
) -> tuple[ContinuityRecord, Checkpoint | Start]:
    """Return the record and the position of an order that asked to read after the id of `checkpoint`.

    Salesforce has refused that at `now` (epoch seconds), so what it retains is
    read, and time decides what of it the log holds.
    """
    refused = refused_hole(record.channel, checkpoint, Start.EARLIEST, now)
    detail = f"{record.detail}; Salesforce refused the replay id in the log"[:_LONGEST_DETAIL]
    after = without_ids(checkpoint) if checkpoint is not None else Start.EARLIEST
    if refused.state is Repair.FULL or record.state is not Repair.FULL:
        return replace(record, detail=detail), after
    return replace(record, detail=detail, state=refused.state, until=refused.until), after


def skipped_to_id(record: ContinuityRecord) -> ContinuityRecord:
    """Return the record of an order whose replay id turns out to lie further on than the log's end."""
    detail = (
        f"{record.detail}; that is further on than the last event in the log, and what is between is skipped"
    )
    return replace(record, state=Repair.NONE, detail=detail[:_LONGEST_DETAIL])


def without_ids(checkpoint: Checkpoint) -> Checkpoint:
    """Return `checkpoint` with nothing but its last event, or time, to mark the place."""
    return replace(checkpoint, replay_id=None, skips_after=None)


def unchanged_record(record: ContinuityRecord, order: PositionOrder, said: str) -> ContinuityRecord:
    """Return the record of an `order` whose replay id Salesforce refused: nothing has changed."""
    named = optional_replay_text(order.replay_id)
    detail = (
        f"{order.by} has ordered to read after the replay id {named}, and Salesforce refused it: the "
        f"position stays as it was. {said}"
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
    """Return the place of new events, with the id and the time behind which the log holds nothing."""
    known = None
    if checkpoint is not None:
        known = checkpoint.open_replay_id or checkpoint.replay_id or checkpoint.skips_after
    if checkpoint is None or known is None:
        return Start.LATEST
    positioned_at = checkpoint.positioned_at
    if positioned_at is not None and known == checkpoint.replay_id:
        # Our clock dates a quiet answer. If it is ahead, new events can have earlier times.
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
        # Without the id, the source leaves out what the log holds by the last event.
        # Where a quiet answer has closed the position, nothing but the id tells what that is.
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
    """Return the place behind a replay id, and whether reading shows if that lies beyond the log's end."""
    if checkpoint is None:
        return None, False
    if replay_id in {checkpoint.replay_id, checkpoint.open_replay_id}:
        # It is where the log ends: the last event does not come behind it.
        return checkpoint, True
    values = _values(checkpoint)
    # The id of a quiet answer can be that of the last event, which is found by it then.
    last = checkpoint.open_replay_id or checkpoint.replay_id
    appended = checkpoint.appended if checkpoint.open_replay_id is not None else ()
    values |= {"replay_id": replay_id, "open_replay_id": last, "appended": appended}
    return SoughtPlace(**values), bool(appended)


def _values(checkpoint: Checkpoint) -> dict[str, Any]:
    return {each.name: getattr(checkpoint, each.name) for each in fields(checkpoint)}


def _text(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
