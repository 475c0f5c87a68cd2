"""Continuity records: holes in the channels, and what became of them."""

from dataclasses import dataclass

from aiohttp import web

from streamer.admin.schemas import Holes
from streamer.console.context import PageContext
from streamer.console.forms import filled
from streamer.events import HoleCause, Repair


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinuityPages:
    """`/console/continuity`."""

    context: PageContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this page."""
        return [web.get("/continuity", self._list)]

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
