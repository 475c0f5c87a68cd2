"""Resources of continuity records and of snapshots, with the forecast of a snapshot."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from statistics import median

import structlog
from aiohttp import web

from streamer.admin.context import AdminContext
from streamer.admin.json_views import continuity_json, rfc3339, snapshot_json
from streamer.admin.middleware import json_response
from streamer.admin.schemas import (
    MOST_LETTERS,
    AcknowledgeRequest,
    ApiError,
    ChangeRequest,
    Holes,
    Last,
    SnapshotRequest,
    body_of,
    query_of,
)
from streamer.channel_paths import ChannelKind, changed_entity
from streamer.clock import CLOCKS_DIFFER_S
from streamer.continuity import PAGE_ROWS, SnapshotForecast, SnapshotForecaster, snapshot_mistake
from streamer.controls import AuditRecord, ContinuityFilter, SnapshotOrder, Wanted, is_ordered_snapshot
from streamer.errors import LogUnavailable, RecordsRefused, RetryLater, Stop
from streamer.events import ContinuityRecord, HoleAcknowledgement, HoleCause, JsonObject, Repair
from streamer.log.continuity import MOST_RECORDS

_FORECAST_WITHIN_S = 60.0
_FORMER_SNAPSHOTS = 10
_NOT_READ = (
    "this process does not read Salesforce, or has not logged in yet: use the admin API of a process "
    "that reads Salesforce"
)
_log = structlog.get_logger()


async def forecast_json(
    context: AdminContext, order: SnapshotOrder, former: Iterable[ContinuityRecord]
) -> JsonObject:
    """Return the cost of `order`, and its duration at the rate of the `former` snapshots.

    `unknown` is the reason for an unknown cost, and empty for a known cost. Raises
    `ApiError` for a snapshot that Salesforce refuses.
    """
    if context.forecaster is None:
        return _forecast_json(None, None, _NOT_READ)
    try:
        found = await _forecast_in_time(context, context.forecaster, order)
    except RecordsRefused as error:
        raise ApiError(400, f"Salesforce refuses this snapshot: {error}.") from None
    except TimeoutError:
        return _forecast_json(
            None, None, f"Salesforce did not count the records within {_FORECAST_WITHIN_S:.0f} s"
        )
    except (RetryLater, Stop) as error:
        return _forecast_json(None, None, str(error))
    return _forecast_json(found, rate_of(former), "")


def rate_of(former: Iterable[ContinuityRecord]) -> float | None:
    """Return the median rate of the latest `former` snapshots, in records per second.

    `former` is ordered from the oldest. Only complete snapshots with more than one page
    of records are used. A pause makes a snapshot's rate too low, so the result is the
    median and not the mean.
    """
    rates = (
        each.published / (each.updated_at - each.recorded_at)
        for each in reversed(list(former))
        if each.state is Repair.FULL
        and each.published > PAGE_ROWS
        and each.updated_at
        and each.updated_at > each.recorded_at
    )
    latest = list(islice(rates, _FORMER_SNAPSHOTS))
    return median(latest) if latest else None


async def _forecast_in_time(
    context: AdminContext, forecaster: SnapshotForecaster, order: SnapshotOrder
) -> SnapshotForecast:
    asked = asyncio.create_task(forecaster.forecast(order), name="forecast of a snapshot")
    asked.add_done_callback(_forecast_retrieved)
    async with context.clock.timeout(_FORECAST_WITHIN_S):
        # A request can renew the token, and an interrupted renewal can lose the token.
        return await asyncio.shield(asked)


def _forecast_json(found: SnapshotForecast | None, rate: float | None, unknown: str) -> JsonObject:
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


def _forecast_retrieved(asked: "asyncio.Task[SnapshotForecast]") -> None:
    # asyncio would report an error that no code has retrieved.
    if not asked.cancelled():
        asked.exception()


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinuityResource:
    """`/continuity`."""

    context: AdminContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this resource."""
        return [
            web.get("/continuity", self._list),
            web.post("/continuity/acknowledge", self._acknowledge),
        ]

    async def records(self, asked: Holes) -> JsonObject:
        """Return the latest records that match a filter, the oldest first. Raises `LogUnavailable`."""
        records = await self.context.log.controls.continuity(asked.meant(), last=asked.last)
        return {"records": [continuity_json(record) for record in records]}

    async def acknowledge(self, asked: AcknowledgeRequest) -> JsonObject:
        """Record that an operator knows about an unrepaired hole, so that it no longer counts as a problem.

        Raises `ApiError` and `LogUnavailable`.
        """
        controls, now = self.context.log.controls, self.context.clock.now()
        every = await controls.continuity(ContinuityFilter(), last=MOST_RECORDS)
        hole = next((each for each in every if each.id == asked.id), None)
        if hole is None:
            raise ApiError(404, "No hole has this id; `streamer continuity list` shows the ids.")
        if not hole.is_unrepaired:
            raise ApiError(
                409, f"The state of this hole is {hole.state}: only partial and none can be acknowledged."
            )
        if hole.acknowledged is not None:
            raise ApiError(409, f"{hole.acknowledged.by} has already acknowledged this hole.")
        known = replace(hole, acknowledged=HoleAcknowledgement(by=asked.by, at=now, reason=asked.reason))
        detail = {"id": hole.id, "channel": hole.channel.path, "entity": hole.entity, "reason": asked.reason}
        audit = AuditRecord(at=now, what="hole.acknowledged", by=asked.by, detail=detail)
        await controls.acknowledge(known, audit)
        _log.info("hole.acknowledged", by=asked.by, **detail)
        return continuity_json(known)

    async def _list(self, request: web.Request) -> web.Response:
        return json_response(await self.records(query_of(request, Holes)))

    async def _acknowledge(self, request: web.Request) -> web.Response:
        return json_response(await self.acknowledge(await body_of(request, AcknowledgeRequest)))


_ALL_CHANGES = "/data/ChangeEvents"
SNAPSHOT_CHANGES = {"pause": Wanted.PAUSED, "resume": Wanted.RUNNING, "cancel": Wanted.CANCELLED}
"""Changes to a snapshot, by their names in paths."""
_DONE = {Wanted.PAUSED: "snapshot.paused", Wanted.RUNNING: "snapshot.resumed"}
_CANCELLED = "snapshot.cancelled"
_ORDERED = "snapshot.ordered"


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotResource:
    """`/snapshots`.

    The log stores an order. The process that owns the channel carries out the
    order, and the order's continuity record holds the progress.
    """

    context: AdminContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this resource."""
        return [
            web.post("/snapshots", self._start),
            web.get("/snapshots", self._list),
            web.get("/snapshots/{id}", self._show),
            *(web.post(f"/snapshots/{{id}}/{change}", self._change) for change in SNAPSHOT_CHANGES),
        ]

    async def start(self, asked: SnapshotRequest) -> JsonObject:
        """Order a snapshot; with `dry_run`, return its `forecast` instead.

        Raises `ApiError` and `LogUnavailable`.
        """
        order = self._order(asked)
        for other in (await self.context.control_state()).snapshots.values():
            if _means_the_same(order, other) and await self._is_under_way(other):
                raise ApiError(
                    409,
                    f"Snapshot {other.id} of the same records is running or waiting: wait for the end of "
                    f"that snapshot, or cancel it with `streamer snapshot cancel {other.id}`.",
                )
        if asked.dry_run:
            forecast = await forecast_json(self.context, order, (await self._records()).values())
            return {**snapshot_json(order, None), "forecast": forecast}
        await self._write(order, _ORDERED)
        # The log can take a moment to show the order. A small snapshot can have ended by then.
        with suppress(LogUnavailable):
            await self.context.control_state(lambda board: order.id in board.snapshots)
        return snapshot_json(order, None)

    def _order(self, asked: SnapshotRequest) -> SnapshotOrder:
        paths = [channel.path for channel in self.context.daemon.plan.settings.channels]
        channel = snapshot_channel(asked.entity, asked.channel, paths)
        # Salesforce's names ignore case, but event types do not.
        entity = changed_entity(channel) or asked.entity
        if mistake := snapshot_mistake(channel, entity, asked.where, asked.fields):
            raise ApiError(400, f"Streamer can't make this snapshot: {mistake}.")
        now = self.context.clock.now()
        since = asked.since.timestamp() if asked.since else None
        if since is not None and not 0 <= since <= now + CLOCKS_DIFFER_S:
            raise ApiError(400, "since: must be a time since 1970 that is not in the future.")
        return SnapshotOrder(
            id=SnapshotOrder.new_id(),
            channel=channel,
            entity=entity,
            where=asked.where,
            fields=asked.fields,
            since=since,
            by=asked.by,
            at=now,
        )

    async def change(self, id_: str, wanted: Wanted, asked: ChangeRequest) -> JsonObject:
        """Pause, resume or cancel a snapshot. Raises `ApiError` and `LogUnavailable`."""
        order = (await self.context.control_state()).snapshots.get(id_)
        record = (await self._records()).get(id_)
        if order is None and record is None:
            raise ApiError(404, "No snapshot has this id; `streamer snapshot list` shows the snapshots.")
        if order is None or _is_final(record):
            raise ApiError(
                409, f"Snapshot {id_} has already ended; `streamer snapshot list` shows the result."
            )
        if order.wanted is Wanted.CANCELLED:
            raise ApiError(409, f"Snapshot {id_} was cancelled by {order.by}: start a new snapshot.")
        changed = replace(order, wanted=wanted, by=asked.by, at=self.context.clock.now())
        await self._write(changed, _DONE.get(wanted, _CANCELLED))
        # The log can take a moment to show the change, and the next request must find it.
        await self.context.control_state(lambda board: board.snapshots.get(id_) != order)
        return snapshot_json(changed, record)

    async def _write(self, order: SnapshotOrder, what: str) -> None:
        detail = {"id": order.id, "channel": order.channel, "entity": order.entity}
        if what == _ORDERED:
            detail |= {"where": order.where, "fields": ", ".join(order.fields)}
            detail |= {"since": rfc3339(order.since)} if order.since is not None else {}
        audit = AuditRecord(at=order.at, what=what, by=order.by, detail=detail)
        await self.context.log.controls.order_snapshot(order, audit)
        _log.info(what, snapshot=order.id, channel=order.channel, entity=order.entity, by=order.by)

    async def snapshots(self, asked: Last) -> JsonObject:
        """Return the latest snapshots, with waiting snapshots at the end. Raises `LogUnavailable`."""
        orders = dict((await self.context.control_state()).snapshots)
        shown = [
            snapshot_json(orders.pop(id_, None), record) for id_, record in (await self._records()).items()
        ]
        shown += [snapshot_json(order, None) for order in sorted(orders.values(), key=lambda each: each.at)]
        return {"snapshots": shown[-asked.last :]}

    async def _show(self, request: web.Request) -> web.Response:
        id_ = request.match_info["id"]
        order = (await self.context.control_state()).snapshots.get(id_)
        record = (await self._records()).get(id_)
        if order is None and record is None:
            raise ApiError(404, "No snapshot has this id; `streamer snapshot list` shows the snapshots.")
        return json_response(snapshot_json(order, record))

    async def _start(self, request: web.Request) -> web.Response:
        asked = await body_of(request, SnapshotRequest)
        return json_response(await self.start(asked), status=200 if asked.dry_run else 202)

    async def _change(self, request: web.Request) -> web.Response:
        asked = await body_of(request, ChangeRequest)
        wanted = SNAPSHOT_CHANGES[request.path.rpartition("/")[2]]
        return json_response(await self.change(request.match_info["id"], wanted, asked), status=202)

    async def _list(self, request: web.Request) -> web.Response:
        return json_response(await self.snapshots(query_of(request, Last)))

    async def _is_under_way(self, order: SnapshotOrder) -> bool:
        return order.wanted is not Wanted.CANCELLED and not _is_final((await self._records()).get(order.id))

    async def _records(self) -> dict[str, ContinuityRecord]:
        chosen = ContinuityFilter(cause=HoleCause.SNAPSHOT)
        records = await self.context.log.controls.continuity(chosen, last=MOST_LETTERS)
        return {record.id: record for record in records if is_ordered_snapshot(record)}


def snapshot_channel(entity: str, asked: str | None, paths: Sequence[str]) -> str:
    """Return the path of a snapshot's channel: `asked`, or else the channel that carries the entity.

    `paths` are the configured channels. Raises `ApiError` if no channel fits.
    """
    if asked is not None:
        return _checked(entity, asked, paths)
    of_changes = [path for path in paths if ChannelKind.of(path) is ChannelKind.CHANGES]
    for path in of_changes:
        if _is_named(entity, changed_entity(path)):
            return path
    if _ALL_CHANGES in of_changes:
        return _ALL_CHANGES
    custom = [path for path in of_changes if changed_entity(path) is None]
    if custom:
        raise ApiError(
            400,
            f"No configured channel carries only this object, and {_ALL_CHANGES} is not configured: name "
            f"the channel in which Streamer publishes the records, one of {', '.join(custom)}.",
        )
    carried = ", ".join(of_changes) or "none"
    raise ApiError(
        400,
        "No configured channel carries the changes of this object, so later changes would be missing "
        f"after the snapshot: configure the object's channel. Configured channels of changes: {carried}.",
    )


def _checked(entity: str, path: str, paths: Sequence[str]) -> str:
    if path not in paths:
        known = ", ".join(paths) or "none"
        raise ApiError(404, f"No configured channel has this path; configured channels: {known}.")
    if ChannelKind.of(path) is not ChannelKind.CHANGES:
        raise ApiError(
            400,
            f"{path} carries no changes of records: name a channel of Change Data Capture (/data/…). "
            "Platform events, PushTopics, generic channels and outbound messages have no snapshots.",
        )
    carried = changed_entity(path)
    if carried is not None and not _is_named(entity, carried):
        raise ApiError(
            400, f"{path} carries only the changes of {carried}: name another channel, or name no channel."
        )
    return path


def _is_named(entity: str, carried: str | None) -> bool:
    return carried is not None and carried.casefold() == entity.casefold()


def _means_the_same(order: SnapshotOrder, other: SnapshotOrder) -> bool:
    return (order.channel, order.entity, order.where, order.fields, order.since) == (
        other.channel,
        other.entity,
        other.where,
        other.fields,
        other.since,
    )


def _is_final(record: ContinuityRecord | None) -> bool:
    return record is not None and record.state is not Repair.OPEN
