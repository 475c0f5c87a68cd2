"""Resource of the continuity records."""

from dataclasses import dataclass

from aiohttp import web

from streamer.admin.context import AdminContext
from streamer.admin.json_views import continuity_json
from streamer.admin.middleware import json_response
from streamer.admin.schemas import Holes, query_of
from streamer.events import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class ContinuityResource:
    """`/continuity`."""

    context: AdminContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this resource."""
        return [web.get("/continuity", self._list)]

    async def records(self, asked: Holes) -> JsonObject:
        """Return the latest records of a filter, oldest first. Raises `LogUnavailable`."""
        records = await self.context.log.controls.continuity(asked.meant(), last=asked.last)
        return {"records": [continuity_json(record) for record in records]}

    async def _list(self, request: web.Request) -> web.Response:
        return json_response(await self.records(query_of(request, Holes)))
