"""What was done, and by whom."""

from dataclasses import dataclass

from aiohttp import web

from streamer.admin.desk import Desk
from streamer.admin.guarding import answer
from streamer.admin.requests import Last, query_of
from streamer.admin.shapes import audit_shape


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditResource:
    """`/audit`."""

    desk: Desk

    def routes(self) -> list[web.RouteDef]:
        """Return what can be asked."""
        return [web.get("/audit", self._list)]

    async def _list(self, request: web.Request) -> web.Response:
        records = await self.desk.log.controls.audit(last=query_of(request, Last).last)
        return answer({"records": [audit_shape(record) for record in records]})
