"""Configuration in effect, with secrets masked."""

import asyncio
from dataclasses import dataclass

from aiohttp import web

from streamer.console.context import PageContext


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationPages:
    """`/console/configuration`."""

    context: PageContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this page."""
        return [web.get("/configuration", self._show)]

    async def _show(self, request: web.Request) -> web.Response:
        # A large one takes a while to write.
        text = await asyncio.to_thread(self.context.daemon.configuration)
        return self.context.renderer.page(request, "configuration.html", title="Configuration", text=text)
