"""Pages of the channels: their state, positions, snapshots and continuity records."""

from collections import Counter
from dataclasses import dataclass
from urllib.parse import urlencode

from aiohttp import web

from streamer.admin.continuity import SNAPSHOT_CHANGES
from streamer.admin.schemas import (
    AcknowledgeRequest,
    ApiError,
    ChangeRequest,
    Holes,
    Last,
    OfChannel,
    PositionRequest,
    SnapshotRequest,
)
from streamer.channel_paths import ChannelKind
from streamer.console.access import fields_of, operator_of, redirect
from streamer.console.context import PageContext
from streamer.console.forms import filled, first, unset
from streamer.controls import ChannelPosition
from streamer.errors import LogUnavailable
from streamer.events import HoleCause, JsonObject, Repair


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelPages:
    """`/console/channels`."""

    context: PageContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this page."""
        return [web.get("/channels", self._list)]

    async def _list(self, request: web.Request) -> web.Response:
        holes, positions, log_problem = list[JsonObject](), list[JsonObject](), ""
        try:
            holes = list(await self.context.recent.holes.records())
            positions = list(await self.context.recent.positions.records())
        except LogUnavailable as error:
            log_problem = str(error)
        daemon = self.context.daemon
        await daemon.admin.reports.refresh()
        return self.context.renderer.page(
            request,
            "channels.html",
            title="Channels",
            channels=daemon.flow.channel_rows(),
            positions=positions,
            log_problem=log_problem,
            open_holes=Counter(each["channel"] for each in holes if each["state"] == Repair.OPEN),
            lasting_holes=Counter(each["channel"] for each in holes if each["is_lasting"]),
        )


# The page must not keep a person waiting for long. The next page shows later results.
_WAIT_S = "3"
_PLACES = {
    ChannelPosition.SINCE: "with events committed since a time",
    ChannelPosition.REPLAY_ID: "after a replay id",
    ChannelPosition.EARLIEST: "with the first event that Salesforce retains",
    ChannelPosition.LATEST: "with new events",
    ChannelPosition.START: "at the configured start of a new channel (reset)",
}
_ORDER_FIELDS = ("channel", "place", "replay_id", "since", "repeat")


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionPages:
    """`/console/channels/position`.

    A preview is a page that changes nothing. The form on a preview holds the previewed
    values, so the order has exactly the previewed effect.
    """

    context: PageContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of these pages."""
        return [
            web.get("/channels/position", self._show),
            web.get("/channels/position/preview", self._preview),
            web.post("/channels/position", self._order),
            web.post("/channels/position/cancel", self._cancel),
        ]

    async def _show(self, request: web.Request) -> web.Response:
        path = request.query.get("channel", "")
        positions = await self.context.resources.checkpoints.positions()
        position = next((each for each in positions if each["channel"] == path), None)
        if position is None:
            raise ApiError(
                404, "No configured channel has this path, and the log has no position for this path."
            )
        channels = {each.path for each in self.context.daemon.configured.channels}
        return self.context.renderer.page(
            request,
            "position.html",
            title="Position of a channel",
            position=position,
            places=_PLACES,
            can_be_set=path in channels,
        )

    async def _preview(self, request: web.Request) -> web.Response:
        asked = filled(PositionRequest, list(request.query.items()), dry_run=True)
        answer = await self.context.resources.checkpoints.order(asked)
        return self.context.renderer.page(
            request,
            "position_preview.html",
            title="Change a position",
            asked=asked,
            effect=answer["effect"],
            place=_PLACES[asked.place],
            fields=_order_fields(asked),
        )

    async def _order(self, request: web.Request) -> web.Response:
        fields = [("wait_s", _WAIT_S), *fields_of(request)]
        asked = filled(PositionRequest, fields, by=operator_of(request), dry_run=False)
        ordered = await self.context.resources.checkpoints.order(asked)
        return self._back("position-ordered" if ordered["outcome"] is None else "position-set")

    async def _cancel(self, request: web.Request) -> web.Response:
        asked = filled(OfChannel, fields_of(request), by=operator_of(request))
        await self.context.resources.checkpoints.cancel(asked)
        return self._back("position-cancelled")

    def _back(self, done: str) -> web.Response:
        self.context.recent.positions.forget()
        return redirect(f"/console/channels?done={done}")


def _order_fields(asked: PositionRequest) -> JsonObject:
    """Return the fields that an order sets, by their names in forms."""
    said = asked.model_dump(mode="json")
    return unset({name: said[name] for name in _ORDER_FIELDS})


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotPages:
    """`/console/snapshots`."""

    context: PageContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of these pages."""
        return [
            web.get("/snapshots", self._list),
            # A forecast uses requests of the org, so it is a form and not a link.
            web.post("/snapshots/forecast", self._forecast),
            web.post("/snapshots", self._start),
            web.post("/snapshots/{id}/{change}", self._change),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        found = await self.context.resources.snapshots.snapshots(Last())
        return self.context.renderer.page(
            request,
            "snapshots.html",
            title="Snapshots",
            snapshots=found["snapshots"][::-1],
            entity=request.query.get("entity", ""),
            channel=request.query.get("channel", ""),
            paths=[
                each
                for each in self.context.daemon.configured.paths
                if ChannelKind.of(each) is ChannelKind.CHANGES
            ],
        )

    async def _forecast(self, request: web.Request) -> web.Response:
        asked = _asked_snapshot(request, dry_run=True)
        found = await self.context.resources.snapshots.start(asked)
        return self.context.renderer.page(
            request, "snapshot_forecast.html", title="Order a snapshot", asked=asked, found=found
        )

    async def _start(self, request: web.Request) -> web.Response:
        await self.context.resources.snapshots.start(_asked_snapshot(request, dry_run=False))
        return redirect("/console/snapshots?done=snapshot-ordered")

    async def _change(self, request: web.Request) -> web.Response:
        change = request.match_info["change"]
        if change not in SNAPSHOT_CHANGES:
            raise web.HTTPNotFound
        asked = ChangeRequest(by=operator_of(request))
        await self.context.resources.snapshots.change(
            request.match_info["id"], SNAPSHOT_CHANGES[change], asked
        )
        return redirect(f"/console/snapshots?done=snapshot-{change}")


def _asked_snapshot(request: web.Request, *, dry_run: bool) -> SnapshotRequest:
    fields = fields_of(request)
    names = tuple(name.strip() for name in first(fields, "fields").split(",") if name.strip())
    return filled(SnapshotRequest, fields, by=operator_of(request), dry_run=dry_run, fields=names)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinuityPages:
    """`/console/continuity`."""

    context: PageContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this page."""
        return [
            web.get("/continuity", self._list),
            web.post("/continuity/acknowledge", self._acknowledge),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        asked = filled(Holes, list(request.query.items()))
        records = (await self.context.resources.continuity.records(asked))["records"]
        return self.context.renderer.page(
            request,
            "continuity.html",
            title="Continuity",
            records=records[::-1],
            asked=asked,
            paths=self.context.daemon.configured.paths,
            causes=[each.value for each in HoleCause],
            states=[each.value for each in Repair],
        )

    async def _acknowledge(self, request: web.Request) -> web.Response:
        asked = filled(AcknowledgeRequest, fields_of(request), by=operator_of(request))
        answer = await self.context.resources.continuity.acknowledge(asked)
        self.context.recent.holes.forget()
        self.context.recent.problems.forget()
        query = urlencode({"channel": answer["channel"], "done": "hole-acknowledged"})
        return redirect(f"/console/continuity?{query}")
