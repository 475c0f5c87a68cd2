"""Pages for signing in and out."""

from dataclasses import dataclass
from http import HTTPStatus

import structlog
from aiohttp import web

from streamer.console.access import SIGN_IN, SIGN_OUT, fields_of
from streamer.console.context import PageContext
from streamer.console.forms import first

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInPages:
    """`/console/sign-in` and `/console/sign-out`."""

    context: PageContext

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of these pages."""
        return [
            web.get("/sign-in", self._form, name=SIGN_IN),
            # A resource can have only one name, so both routes share it.
            web.post("/sign-in", self._sign_in, name=SIGN_IN),
            web.post("/sign-out", self._sign_out, name=SIGN_OUT),
        ]

    async def _form(self, request: web.Request) -> web.Response:
        return self._page(request, wanted=request.query.get("next", ""))

    async def _sign_in(self, request: web.Request) -> web.Response:
        fields = fields_of(request)
        name = first(fields, "name")
        response = self.context.access.sign_in(request, name, first(fields, "token"))
        if response is None:
            return self._page(
                request,
                wanted=first(fields, "next"),
                name=name,
                mistake="This token is neither admin.token nor admin.reader_token.",
            )
        _log.info("console.signed_in", by=name)
        return response

    async def _sign_out(self, request: web.Request) -> web.Response:
        return self.context.access.sign_out(request)

    def _page(self, request: web.Request, *, wanted: str, name: str = "", mistake: str = "") -> web.Response:
        return self.context.renderer.page(
            request,
            "sign_in.html",
            status=HTTPStatus.FORBIDDEN if mistake else HTTPStatus.OK,
            title="Sign in",
            needs_token=self.context.daemon.settings.token is not None,
            wanted=wanted,
            name=name,
            mistake=mistake,
        )
