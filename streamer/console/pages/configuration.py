"""Pages of the current configuration, with masked secrets, and of the audit."""

import asyncio
from dataclasses import dataclass

from aiohttp import web

from streamer.admin.schemas import Last
from streamer.console.context import PageContext
from streamer.console.forms import filled


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationPages:
    """`/console/configuration`."""

    context: PageContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this page."""
        return [web.get("/configuration", self._show)]

    async def _show(self, request: web.Request) -> web.Response:
        # A large configuration takes a while to write.
        text = await asyncio.to_thread(self.context.daemon.configuration)
        return self.context.renderer.page(request, "configuration.html", title="Configuration", text=text)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPages:
    """`/console/audit`."""

    context: PageContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this page."""
        return [web.get("/audit", self._list)]

    async def _list(self, request: web.Request) -> web.Response:
        asked = filled(Last, list(request.query.items()))
        records = (await self.context.resources.audit.records(asked))["records"]
        return self.context.renderer.page(
            request, "audit.html", title="Audit", records=records[::-1], asked=asked
        )
