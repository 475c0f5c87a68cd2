"""Preview of a channel's move to another position, and the outcome of the order."""

from collections.abc import Iterator
from contextlib import aclosing
from datetime import UTC, datetime

from streamer.admin.context import AdminContext
from streamer.admin.json_views import optional_time, rfc3339
from streamer.admin.schemas import ApiError
from streamer.channel_paths import ChannelKind
from streamer.configuration.event_types import Carried
from streamer.controls import ChannelPosition, ContinuityFilter, PositionOrder
from streamer.events import Channel, Checkpoint, ContinuityRecord, HoleCause, JsonObject, Repair, Start
from streamer.ingest.positions import Move, move_of
from streamer.ingest.positions.checkpoints import configured_start
from streamer.ports import RecordedPositions
from streamer.settings import ChannelSettings

_HOUR_S = 3600.0


async def effect_json(
    log: RecordedPositions,
    order: PositionOrder,
    rules: ChannelSettings,
    channel: Channel,
    checkpoint: Checkpoint | None,
    now: float,
) -> JsonObject:
    """Return the effect of `order` at `now` (epoch seconds) on a channel with `checkpoint` in the log.

    `repeats` gives the largest number of events that can be repeated and their
    earliest time, or is `None` if no event is repeated. `loses` gives the times
    between which events will be missing, or is `None` if no loss is known. Raises
    `LogUnavailable`.
    """
    start = configured_start(rules.start)
    move = move_of(order, channel, checkpoint, start, now)
    since = _repeated_since(order, move, channel, now) if checkpoint is not None else None
    repeats = None
    if since is not None:
        patterns = [*Carried.by(channel.path).types("*")]
        repeats = {"events": await log.appended_since(patterns, since), "since": rfc3339(since)}
    is_repaired = not move.skips and rules.on_refused_replay_id == "repair" and _has_records(channel)
    loses = None
    if move.state is not Repair.FULL:
        state = Repair.OPEN if is_repaired else Repair.NONE
        times = {"from": optional_time(move.lost_from), "until": rfc3339(move.lost_until)}
        loses = {**times, "state": state}
    sentences = [
        *_of_place(order, move, checkpoint),
        *_of_repetition(order, repeats),
        *_of_loss(order, move, channel, is_repaired=is_repaired),
        *_of_cost(move),
    ]
    return {"repeats": repeats, "loses": loses, "sentences": sentences}


def _repeated_since(order: PositionOrder, move: Move, channel: Channel, now: float) -> float | None:
    if not order.repeat or move.skips:
        return None
    retained_from = now - channel.retention_s
    is_since = isinstance(move.after, Checkpoint) and order.since is not None
    return max(order.since or 0.0, retained_from) if is_since else retained_from


def _of_place(order: PositionOrder, move: Move, checkpoint: Checkpoint | None) -> Iterator[str]:
    if checkpoint is None:
        yield "The log has no checkpoint of this channel, because Streamer has not read the channel yet."
    elif move.lost_from is not None:
        yield f"The log is complete up to {_time(move.lost_from)}."
    yield f"Reading continues {move.detail}."
    if order.place is ChannelPosition.REPLAY_ID and checkpoint is not None:
        yield (
            "Streamer can't compare replay ids. If this id is before the log's position, nothing "
            "changes. If this id is after the log's position, the events between the two positions are "
            "lost."
        )


def _of_repetition(order: PositionOrder, repeats: JsonObject | None) -> Iterator[str]:
    if repeats is not None:
        yield (
            f"Repeated: the events since {repeats['since'][:19]}Z that the log already holds, at most "
            f"{repeats['events']:,} events. Streamer appends these events again with the same ids, and "
            "each subscriber gets them again with the same idempotency keys."
        )
    elif not order.repeat:
        yield "Repeated: nothing. Streamer skips events that the log already holds."


def _of_loss(order: PositionOrder, move: Move, channel: Channel, *, is_repaired: bool) -> Iterator[str]:
    if move.state is Repair.FULL:
        unknown = order.place is ChannelPosition.REPLAY_ID and move.lost_from is not None
        if not unknown:
            yield "Lost: nothing."
        else:
            yield (
                "Lost: the events between the log's position and the replay id, if the replay id is the "
                "later position. A continuity record then describes the loss."
            )
        return
    begin = _time(move.lost_from) if move.lost_from is not None else "the beginning"
    if not move.skips:
        hours = f"{channel.retention_s / _HOUR_S:.0f} hours"
        yield (
            f"Lost: events between {begin} and {_time(move.lost_until)}, because Salesforce keeps only "
            f"{hours}."
        )
    elif order.place is ChannelPosition.REPLAY_ID:
        yield f"Lost: any events between {begin} and the replay id."
    else:
        yield f"Lost: events between {begin} and {_time(move.lost_until)} that the log does not hold yet."
    yield "A continuity record describes the loss (`streamer continuity list`)."
    if is_repaired:
        yield "Streamer then reads from the org the records that have changed since the loss."
    elif _has_records(channel):
        yield (
            "Streamer does not read the lost events again. `streamer snapshot start` publishes the "
            "records' present state."
        )


def _of_cost(move: Move) -> Iterator[str]:
    reads_all = move.after is Start.EARLIEST or (
        type(move.after) is Checkpoint and move.after.replay_id is None
    )
    if reads_all:
        yield (
            "For this move, Salesforce sends all retained events. Each event counts against the org's "
            "daily limit of delivered events."
        )
    if move.with_snapshot:
        yield (
            "After the move, Streamer reads all records of the channel's entities, because the channel's "
            "setting `start` is snapshot."
        )


def _has_records(channel: Channel) -> bool:
    return ChannelKind.of(channel.path) is ChannelKind.CHANGES


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


_LOOKED_AT = 100


async def outcome_of(
    context: AdminContext, order: PositionOrder, *, within_s: float
) -> ContinuityRecord | None:
    """Return the continuity record of `order`; return `None` if `order` still waits after `within_s` seconds.

    Another process can carry out the order. Raises `LogUnavailable`. Raises `ApiError`
    409 when Salesforce refuses the position or an operator cancels the order.
    """
    record = None
    if within_s:
        try:
            async with context.clock.timeout(within_s):
                record = await _awaited(context, order)
        except TimeoutError:
            # The log gets the record a moment before the order is removed.
            record = await _record_of(context, order)
    if record is not None and record.cause is HoleCause.POSITION_REFUSED:
        raise ApiError(409, record.detail)
    return record


async def _awaited(context: AdminContext, order: PositionOrder) -> ContinuityRecord | None:
    is_shown = False
    async with aclosing(context.log.controls.switched()) as boards:
        async for board in boards:
            if order.id in board.positions:
                is_shown = True
            elif (record := await _record_of(context, order)) is not None:
                return record
            elif is_shown:
                raise ApiError(
                    409,
                    (
                        f"An operator cancelled or replaced the order {order.id} before a process carried it "
                        "out: see `streamer audit`."
                    ),
                )
    return None


async def _record_of(context: AdminContext, order: PositionOrder) -> ContinuityRecord | None:
    for cause in (HoleCause.POSITION_SET, HoleCause.POSITION_REFUSED):
        chosen = ContinuityFilter(channel=order.channel, cause=cause)
        for record in await context.log.controls.continuity(chosen, last=_LOOKED_AT):
            if record.id == order.id:
                return record
    return None
