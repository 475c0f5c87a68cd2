"""Forecast of a snapshot, as the API answers it."""

import asyncio
from collections.abc import Iterable
from itertools import islice
from statistics import median

from streamer.admin.context import AdminContext
from streamer.admin.errors import ApiError
from streamer.continuity import PAGE_ROWS, SnapshotForecast, SnapshotForecaster
from streamer.controls import SnapshotOrder
from streamer.errors import RecordsRefused, RetryLater, Stop
from streamer.events import ContinuityRecord, JsonObject, Repair

_COUNTED_S = 60.0
_FORMER = 10
_NOT_READ = (
    "this process does not read Salesforce, or has not logged in yet: ask the admin API of one that reads it"
)


async def forecast_json(
    context: AdminContext, order: SnapshotOrder, former: Iterable[ContinuityRecord]
) -> JsonObject:
    """Return what `order` will cost, and how long it will take at the rate of the `former` snapshots.

    `unknown` is the reason why that can't be told, and empty when it is. Raises
    `ApiError` where Salesforce would refuse the snapshot.
    """
    if context.forecaster is None:
        return _json(None, None, _NOT_READ)
    try:
        found = await _answered(context, context.forecaster, order)
    except RecordsRefused as error:
        raise ApiError(400, f"Salesforce would refuse this snapshot: {error}.") from None
    except TimeoutError:
        return _json(None, None, f"Salesforce has not counted the records in {_COUNTED_S:.0f} s")
    except (RetryLater, Stop) as error:
        return _json(None, None, str(error))
    return _json(found, rate_of(former), "")


def rate_of(former: Iterable[ContinuityRecord]) -> float | None:
    """Return the records per second of the latest of the `former` snapshots, oldest first.

    Only whole ones of more than a page count, and the middle one of them: the
    time of a snapshot is from its order on, and so can hold a pause.
    """
    rates = (
        each.published / (each.updated_at - each.recorded_at)
        for each in reversed(list(former))
        if each.state is Repair.FULL
        and each.published > PAGE_ROWS
        and each.updated_at
        and each.updated_at > each.recorded_at
    )
    latest = list(islice(rates, _FORMER))
    return median(latest) if latest else None


async def _answered(
    context: AdminContext, forecaster: SnapshotForecaster, order: SnapshotOrder
) -> SnapshotForecast:
    asked = asyncio.create_task(forecaster.forecast(order), name="forecast of a snapshot")
    asked.add_done_callback(_retrieved)
    async with context.clock.timeout(_COUNTED_S):
        # A request can renew the token, and a renewal that is broken off can lose it.
        return await asyncio.shield(asked)


def _json(found: SnapshotForecast | None, rate: float | None, unknown: str) -> JsonObject:
    return {
        "records": found.records if found else None,
        "way": ("bulk" if found.in_bulk else "rest") if found else None,
        "requests": found.cost.requests if found else None,
        "bulk_jobs": found.cost.bulk_jobs if found else None,
        "cost": found.sentence if found else "",
        "seconds": round(found.records / rate, 1) if found and rate else None,
        "waits": found.waits if found else "",
        "unknown": unknown,
    }


def _retrieved(asked: "asyncio.Task[SnapshotForecast]") -> None:
    # asyncio reports an error that nothing has looked at.
    if not asked.cancelled():
        asked.exception()
