"""Redrives: their progress, and their end."""

from dataclasses import dataclass

from aiohttp import web

from streamer.admin.schemas import ChangeRequest
from streamer.console.access import operator_of, redirect
from streamer.console.context import PageContext

_SHOWN = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class RedrivePages:
    """`/console/redrives`."""

    context: PageContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of these pages."""
        return [web.get("/redrives", self._list), web.post("/redrives/{id}/cancel", self._cancel)]

    async def _list(self, request: web.Request) -> web.Response:
        found = await self.context.resources.redrives.redrives()
        return self.context.renderer.page(
            request,
            "redrives.html",
            title="Redrives",
            redrives=found["redrives"],
            ended=found["ended"][-_SHOWN:][::-1],
        )

    async def _cancel(self, request: web.Request) -> web.Response:
        await self.context.resources.redrives.cancel(
            request.match_info["id"], ChangeRequest(by=operator_of(request))
        )
        return redirect("/console/redrives?done=cancelled")
