"""Parked keys: events that the log keeps for a later attempt."""

from dataclasses import dataclass

from aiohttp import web

from streamer.admin.schemas import Parked
from streamer.console.context import PageContext
from streamer.console.forms import filled


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedPages:
    """`/console/parked`."""

    context: PageContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this page."""
        return [web.get("/parked", self._list)]

    async def _list(self, request: web.Request) -> web.Response:
        asked = filled(Parked, list(request.query.items()))
        return self.context.renderer.page(
            request,
            "parked.html",
            title="Parked keys",
            found=await self.context.resources.subscribers.parked(asked),
            asked=asked,
            names=list(self.context.daemon.configured.subscribers),
        )
