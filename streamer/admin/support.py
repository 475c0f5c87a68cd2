"""Resource of the process's own state, for a support bundle."""

from dataclasses import dataclass

from aiohttp import web

from streamer.admin.context import AdminContext
from streamer.admin.errors import ApiError
from streamer.admin.middleware import json_response


@dataclass(frozen=True, slots=True, kw_only=True)
class SupportResource:
    """`/support`."""

    context: AdminContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this resource."""
        return [web.get("/support", self._report)]

    async def _report(self, _request: web.Request) -> web.Response:
        if self.context.diagnose is None:
            raise ApiError(503, "The process does not serve its state yet: try again.")
        return json_response(await self.context.diagnose())
