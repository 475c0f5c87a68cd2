"""Outcome of an order of a position, for the operator who waits for it."""

from contextlib import aclosing

from streamer.admin.context import AdminContext
from streamer.admin.errors import ApiError
from streamer.controls import ContinuityFilter, PositionOrder
from streamer.events import ContinuityRecord, HoleCause

_LOOKED_AT = 100


async def outcome_of(
    context: AdminContext, order: PositionOrder, *, within_s: float
) -> ContinuityRecord | None:
    """Return the continuity record of an `order`, or `None` when it is not carried out `within_s`.

    Any process can carry the order out. Raises `ApiError` 409 when Salesforce
    has refused it, or when somebody took it back, and `LogUnavailable`.
    """
    record = None
    if within_s:
        try:
            async with context.clock.timeout(within_s):
                record = await _awaited(context, order)
        except TimeoutError:
            # The record is in the log a moment before the order is removed.
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
                    f"{order.id} was cancelled or replaced before it was carried out: `streamer audit`.",
                )
    return None


async def _record_of(context: AdminContext, order: PositionOrder) -> ContinuityRecord | None:
    for cause in (HoleCause.POSITION_SET, HoleCause.POSITION_REFUSED):
        chosen = ContinuityFilter(channel=order.channel, cause=cause)
        for record in await context.log.controls.continuity(chosen, last=_LOOKED_AT):
            if record.id == order.id:
                return record
    return None
