"""Resource of the audit records."""

from dataclasses import dataclass

from aiohttp import web

from streamer.admin.context import AdminContext
from streamer.admin.json_views import audit_json
from streamer.admin.middleware import json_response
from streamer.admin.schemas import Last, query_of


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditResource:
    """`/audit`."""

    context: AdminContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this resource."""
        return [web.get("/audit", self._list)]

    async def _list(self, request: web.Request) -> web.Response:
        records = await self.context.log.controls.audit(last=query_of(request, Last).last)
        return json_response({"records": [audit_json(record) for record in records]})
