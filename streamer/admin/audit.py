"""What was done, and by whom."""

from dataclasses import dataclass

from aiohttp import web

from streamer.admin.context import Desk
from streamer.admin.json_views import audit_shape
from streamer.admin.middleware import answer
from streamer.admin.schemas import Last, query_of


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditResource:
    """`/audit`."""

    desk: Desk

    def routes(self) -> list[web.RouteDef]:
        """Return what can be asked."""
        return [web.get("/audit", self._list)]

    async def _list(self, request: web.Request) -> web.Response:
        records = await self.desk.log.audit(last=query_of(request, Last).last)
        return answer({"records": [audit_shape(record) for record in records]})
