"""Listener and application of the API."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from aiohttp import web

from streamer.admin.audit import AuditResource
from streamer.admin.checkpoints import CheckpointResource
from streamer.admin.context import AdminContext
from streamer.admin.continuity.holes import ContinuityResource
from streamer.admin.continuity.snapshots import SnapshotResource
from streamer.admin.events.resource import EventResource
from streamer.admin.gate import Gate
from streamer.admin.letters import LetterResource, RedriveResource
from streamer.admin.middleware import authentication, errors_as_json
from streamer.admin.subscribers import SubscriberResource
from streamer.admin.support import SupportResource
from streamer.settings import AdminSettings
from streamer.web.listener import listening

_log = structlog.get_logger()

CONSOLE_PATH = "/console"
"""Path below which the console is served; it authenticates requests by itself."""

LARGEST_BODY = 64 * 1024
"""Largest body of a request, in bytes."""


@asynccontextmanager
async def serving_admin(
    context: AdminContext, settings: AdminSettings | None, console: web.Application | None = None
) -> AsyncIterator[int]:
    """Serve the API and the `console` inside the context; yields the port, or 0 when `settings` is `None`.

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
    """Return the API, for requests that `gate` admits or, without a token, for requests to loopback."""
    app = web.Application(client_max_size=LARGEST_BODY, middlewares=[errors_as_json, authentication(gate)])
    for resource in (
        SubscriberResource(context=context),
        RedriveResource(context=context),
        LetterResource(context=context),
        AuditResource(context=context),
        EventResource(context=context),
        ContinuityResource(context=context),
        SnapshotResource(context=context),
        CheckpointResource(context=context),
        SupportResource(context=context),
    ):
        app.add_routes(resource.routes())
    return app
