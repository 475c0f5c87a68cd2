"""Snapshots: their progress, a forecast before they are ordered, and their changes."""

from dataclasses import dataclass

from aiohttp import web

from streamer.admin.continuity.snapshots import SNAPSHOT_CHANGES
from streamer.admin.schemas import ChangeRequest, Last, SnapshotRequest
from streamer.channel_paths import ChannelKind
from streamer.console.access import fields_of, operator_of, redirect
from streamer.console.context import PageContext
from streamer.console.forms import filled, first


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotPages:
    """`/console/snapshots`."""

    context: PageContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of these pages."""
        return [
            web.get("/snapshots", self._list),
            # It asks Salesforce, which costs requests of the org, so it is not a link.
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
            paths=[
                each
                for each in self.context.daemon.configured.paths
                if ChannelKind.of(each) is ChannelKind.CHANGES
            ],
        )

    async def _forecast(self, request: web.Request) -> web.Response:
        asked = _asked(request, dry_run=True)
        found = await self.context.resources.snapshots.start(asked)
        return self.context.renderer.page(
            request, "snapshot_forecast.html", title="Order a snapshot", asked=asked, found=found
        )

    async def _start(self, request: web.Request) -> web.Response:
        await self.context.resources.snapshots.start(_asked(request, dry_run=False))
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


def _asked(request: web.Request, *, dry_run: bool) -> SnapshotRequest:
    fields = fields_of(request)
    names = tuple(name.strip() for name in first(fields, "fields").split(",") if name.strip())
    return filled(SnapshotRequest, fields, by=operator_of(request), dry_run=dry_run, fields=names)
