"""Application of the console, which the admin API's listener serves below /console."""

from http import HTTPStatus

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from streamer.admin.middleware import INTERNAL_ERROR, status_and_sentence
from streamer.console.access import STATIC, security_headers
from streamer.console.context import ConsoleContext, PageContext
from streamer.console.pages.channels import ChannelPages, ContinuityPages, PositionPages, SnapshotPages
from streamer.console.pages.configuration import AuditPages, ConfigurationPages
from streamer.console.pages.dead_letters import DeadLetterPages, ParkedPages, RedrivePages
from streamer.console.pages.events import EventPages, TailPages
from streamer.console.pages.flow import FlowPages
from streamer.console.pages.problems import ProblemPages
from streamer.console.pages.search import GlossaryPages, SearchPages
from streamer.console.pages.signing_in import SignInPages
from streamer.console.pages.subscribers import SubscriberPages
from streamer.console.rendering import static_files

PAGES = (
    FlowPages,
    ChannelPages,
    PositionPages,
    SubscriberPages,
    SearchPages,
    GlossaryPages,
    EventPages,
    TailPages,
    ProblemPages,
    DeadLetterPages,
    RedrivePages,
    ParkedPages,
    ContinuityPages,
    SnapshotPages,
    ConfigurationPages,
    AuditPages,
    SignInPages,
)
"""Classes of pages, each with the routes of its pages."""

_log = structlog.get_logger()


def console_application(daemon: ConsoleContext) -> web.Application:
    """Return a daemon's console, which authenticates its own requests."""
    context = PageContext.of(daemon)
    app = web.Application(
        middlewares=[
            _with_headers(context),
            _errors_as_pages(context),
            context.access.middleware,
        ]
    )
    for pages in PAGES:
        app.add_routes(pages(context=context).routes())
    app.add_routes([_static()])
    return app


def _static() -> web.RouteDef:
    files = static_files()

    async def file(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in files:
            raise web.HTTPNotFound
        content, content_type = files[name]
        return web.Response(body=content, content_type=content_type, charset="utf-8")

    return web.get("/static/{name}", file, name=STATIC)


def _with_headers(context: PageContext) -> Middleware:
    headers = security_headers(context.daemon.settings.console.frame_ancestors)

    @web.middleware
    async def secured(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        response.headers.update(headers)
        return response

    return secured


def _errors_as_pages(context: PageContext) -> Middleware:
    @web.middleware
    async def shown(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Exception as error:  # noqa: BLE001 - whatever failed, an operator waits for a page
            status, sentence = status_and_sentence(error)
            if sentence is INTERNAL_ERROR:
                _log.exception("console.failed", method=request.method, path=request.path)
            title = HTTPStatus(status).phrase
            return context.renderer.page(request, "error.html", status=status, title=title, sentence=sentence)

    return shown
