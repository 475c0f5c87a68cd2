"""The org's history in the control API: gaps, overflows, conversions of fields, and a refresh."""

from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

from aiohttp import web
from pydantic import Field

from streamer.sandbox.control.bodies import Body, Handler, answer, json_object
from streamer.sandbox.org.changes import ChangeType
from streamer.sandbox.org.definitions.conversion import ConvertedType
from streamer.sandbox.org.org import SandboxOrg


class Refresh(Protocol):
    """Function that turns the org into another org."""

    def __call__(self, org_id: str | None = None, *, repeat_ids: bool = False) -> str:
        """Return the new id of the org."""
        ...


class _Gap(Body):
    type: str
    record_ids: Annotated[list[str], Field(min_length=1)]
    kind: Literal["GAP_CREATE", "GAP_UPDATE", "GAP_DELETE", "GAP_UNDELETE"] = "GAP_UPDATE"


class _Overflow(Body):
    type: str


class _FieldConversion(Body):
    type: str
    field: str
    to: ConvertedType


class _Refresh(Body):
    org_id: str | None = None
    repeat_ids: bool = False


@dataclass(frozen=True, slots=True)
class HistoryResource:
    """Serves changes of the org that take effect at once; changes that are armed for later are faults."""

    org: SandboxOrg
    refresh: Refresh

    def handlers(self) -> list[tuple[str, str, Handler]]:
        """Return methods, paths and handlers."""
        return [
            ("POST", "/sandbox/gaps", self._gap),
            ("POST", "/sandbox/overflows", self._overflow),
            ("POST", "/sandbox/field-conversions", self._convert),
            ("POST", "/sandbox/refresh", self._refresh),
        ]

    async def _gap(self, request: web.Request) -> web.Response:
        gap = _Gap.model_validate(await json_object(request))
        self.org.publish_gap(gap.type, gap.record_ids, ChangeType(gap.kind))
        return web.Response(status=204)

    async def _overflow(self, request: web.Request) -> web.Response:
        self.org.publish_overflow(_Overflow.model_validate(await json_object(request)).type)
        return web.Response(status=204)

    async def _convert(self, request: web.Request) -> web.Response:
        asked = _FieldConversion.model_validate(await json_object(request))
        return answer({"emptied": self.org.convert_field(asked.type, asked.field, asked.to)})

    async def _refresh(self, request: web.Request) -> web.Response:
        asked = _Refresh.model_validate(await json_object(request))
        return answer({"org_id": self.refresh(asked.org_id, repeat_ids=asked.repeat_ids)})
