"""Limits of the org in the control API: for retained events, for one transaction, and for a day."""

from dataclasses import dataclass, replace
from typing import Annotated, Any

from aiohttp import web
from pydantic import Field

from streamer.sandbox.control.bodies import Body, Handler, answer, json_object
from streamer.sandbox.org.bus import EventBus
from streamer.sandbox.org.org import SandboxOrg

_Amount = Annotated[int, Field(ge=0)]
_Seconds = Annotated[float, Field(ge=0)]


class _Used(Body):
    api_requests: _Amount = 0
    delivered_events: _Amount = 0
    bulk_query_jobs: _Amount = 0
    push_topic_events: _Amount = 0
    generic_events: _Amount = 0
    published_events: _Amount = 0


class _Limits(Body):
    retention_s: _Seconds | None = None
    purge_late_s: _Seconds | None = None
    transaction_changes: _Amount | None = None
    event_bytes: _Amount | None = None
    api_requests: _Amount | None = None
    delivered_events: _Amount | None = None
    bulk_query_jobs: _Amount | None = None
    push_topic_events: _Amount | None = None
    generic_events: _Amount | None = None
    published_events: _Amount | None = None


@dataclass(frozen=True, slots=True)
class LimitsResource:
    """Serves `/sandbox/limits` and `/sandbox/usage`."""

    org: SandboxOrg
    bus: EventBus

    def handlers(self) -> list[tuple[str, str, Handler]]:
        """Return methods, paths and handlers."""
        return [
            ("GET", "/sandbox/limits", self._get),
            ("PUT", "/sandbox/limits", self._put),
            ("POST", "/sandbox/usage", self._use),
        ]

    async def _get(self, _request: web.Request) -> web.Response:
        return answer(self._shown())

    async def _put(self, request: web.Request) -> web.Response:
        given = _Limits.model_validate(await json_object(request)).model_dump(exclude_none=True)
        for name in ("retention_s", "purge_late_s"):
            if name in given:
                setattr(self.bus, name, given[name])
        settings = self.org.settings
        self.org.settings = replace(
            settings,
            transaction_limit=given.get("transaction_changes", settings.transaction_limit),
            event_bytes=given.get("event_bytes", settings.event_bytes),
        )
        for name, allowance in self.org.usage.allowances.items():
            allowance.most = given.get(name, allowance.most)
        return answer(self._shown())

    async def _use(self, request: web.Request) -> web.Response:
        used = _Used.model_validate(await json_object(request)).model_dump()
        for name, allowance in self.org.usage.allowances.items():
            allowance.use(used[name])
        return answer(self._shown()["used"])

    def _shown(self) -> dict[str, Any]:
        allowances = self.org.usage.allowances
        return {
            "retention_s": self.bus.retention_s,
            "purge_late_s": self.bus.purge_late_s,
            "transaction_changes": self.org.settings.transaction_limit,
            "event_bytes": self.org.settings.event_bytes,
            **{name: allowance.most for name, allowance in allowances.items()},
            "used": {name: allowance.used for name, allowance in allowances.items()},
        }
