"""Listener and application of the API, with the resources of the audit and of the process."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog
from aiohttp import web

from streamer.admin.checkpoints import CheckpointResource
from streamer.admin.context import AdminContext
from streamer.admin.continuity import ContinuityResource, SnapshotResource
from streamer.admin.dead_letters import LetterResource
from streamer.admin.events.record_states import StateResource
from streamer.admin.events.resource import EventResource
from streamer.admin.gate import Gate
from streamer.admin.json_views import audit_json
from streamer.admin.middleware import authentication, errors_as_json, json_response
from streamer.admin.parked import ParkedResource
from streamer.admin.problems.resource import ProblemResource
from streamer.admin.redrives import RedriveResource
from streamer.admin.schemas import ApiError, Audited, query_of
from streamer.admin.subscribers import SubscriberResource
from streamer.events import JsonObject
from streamer.settings import AdminSettings
from streamer.web.listener import listening

_log = structlog.get_logger()

_MOST_FILTERED = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditResource:
    """`/audit`."""

    context: AdminContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this resource."""
        return [web.get("/audit", self._list)]

    async def records(self, asked: Audited) -> JsonObject:
        """Return the latest audit records that match a filter, the oldest first.

        A filter is applied to a limited number of the latest records. Raises
        `LogUnavailable`.
        """
        last = _MOST_FILTERED if asked.is_filtered else asked.last
        records = await self.context.log.controls.audit(last=last)
        shown = [record for record in records if asked.admits(record)][-asked.last :]
        return {"records": [audit_json(record) for record in shown]}

    async def _list(self, request: web.Request) -> web.Response:
        return json_response(await self.records(query_of(request, Audited)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessResource:
    """`/support` and `/flow`: the state of this process."""

    context: AdminContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this resource."""
        return [web.get("/support", self._report), web.get("/flow", self._flow)]

    async def _report(self, _request: web.Request) -> web.Response:
        return json_response(await _served(self.context.views.diagnose))

    async def _flow(self, _request: web.Request) -> web.Response:
        return json_response(await _served(self.context.views.flow))


async def _served(read: Callable[[], Awaitable[JsonObject]] | None) -> JsonObject:
    if read is None:
        raise ApiError(503, "The daemon is starting, and can't answer yet: try again later.")
    return await read()


CONSOLE_PATH = "/console"
"""Path of the console, which authenticates its own requests."""
LARGEST_BODY = 64 * 1024
"""Largest request body, in bytes."""


@asynccontextmanager
async def serving_admin(
    context: AdminContext, settings: AdminSettings | None, console: web.Application | None = None
) -> AsyncIterator[int]:
    """Serve the API and the `console` inside the context. Yields the port, or 0 without `settings`.

    Raises `ConfigurationError` when the address is not available.
    """
    if settings is None:
        yield 0
        return
    app = application(context, gate_of(context, settings))
    if console is not None:
        app.add_subapp(CONSOLE_PATH, console)
    async with listening(app, host=settings.host, port=settings.port, section="admin") as port:
        _log.info("admin.listening", host=settings.host, port=port)
        yield port


def gate_of(context: AdminContext, settings: AdminSettings) -> Gate:
    """Return the gate of the API and the console of one daemon."""
    return Gate(token=settings.token, reader=settings.reader_token, wrong_tokens=context.wrong_tokens)


def application(context: AdminContext, gate: Gate) -> web.Application:
    """Return the API, which answers requests that `gate` admits; if no token is configured, to loopback."""
    app = web.Application(client_max_size=LARGEST_BODY, middlewares=[errors_as_json, authentication(gate)])
    for resource in (
        ProblemResource(context=context),
        SubscriberResource(context=context),
        ParkedResource(context=context),
        RedriveResource(context=context),
        LetterResource(context=context),
        AuditResource(context=context),
        EventResource(context=context),
        StateResource(context=context),
        ContinuityResource(context=context),
        SnapshotResource(context=context),
        CheckpointResource(context=context),
        ProcessResource(context=context),
    ):
        app.add_routes(resource.routes())
    return app
