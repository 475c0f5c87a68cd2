"""Resource of the audit records."""

from dataclasses import dataclass

from aiohttp import web

from streamer.admin.context import AdminContext
from streamer.admin.json_views import audit_json
from streamer.admin.middleware import json_response
from streamer.admin.schemas import Last, query_of
from streamer.events import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditResource:
    """`/audit`."""

    context: AdminContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this resource."""
        return [web.get("/audit", self._list)]

    async def records(self, asked: Last) -> JsonObject:
        """Return the latest records, oldest first. Raises `LogUnavailable`."""
        records = await self.context.log.controls.audit(last=asked.last)
        return {"records": [audit_json(record) for record in records]}

    async def _list(self, request: web.Request) -> web.Response:
        return json_response(await self.records(query_of(request, Last)))
