"""OAuth endpoints about issued tokens: introspection and revocation."""

import re
from typing import Any

import orjson
from aiohttp import web

from streamer.sandbox.auth.connected_app import (
    ConnectedApp,
    Identity,
    TokenDenied,
    check_client,
    form_of,
    origin,
)
from streamer.sandbox.auth.tokens import REFRESH_SCOPE, Tokens

_CALLBACK = re.compile(r"[A-Za-z_$][\w$.]{0,99}")


class TokenState:
    """Serves `introspect`, and `revoke` as form, as link and as script."""

    def __init__(self, tokens: Tokens, app: ConnectedApp, identity: Identity) -> None:
        self._tokens = tokens
        self._app = app
        self._identity = identity

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.post("/services/oauth2/introspect", self._introspect),
            web.get("/services/oauth2/revoke", self._revoke),
            web.post("/services/oauth2/revoke", self._revoke),
        ]

    async def _introspect(self, request: web.Request) -> web.Response:
        form = await form_of(request)
        try:
            check_client(self._app, request, form)
        except TokenDenied as denied:
            return denied.answer()
        state = self._state(form.get("token", ""), origin(request))
        return web.json_response(state or {"active": False})

    def _state(self, token: str, url: str) -> dict[str, Any] | None:
        about = {
            "active": True,
            "client_id": self._app.client_id,
            "username": self._identity.username,
            "sub": f"{url}/id/{self._identity.org_id}/{self._identity.user_id}",
        }
        if self._tokens.can_refresh(token):
            since = int(self._tokens.refreshable_since)
            times = {"iat": since, "nbf": since}
            return {**about, "scope": REFRESH_SCOPE, "token_type": "refresh_token", **times}
        found = self._tokens.look_up(token)
        if found is None:
            return None
        session, ends_at = found
        since = int(session.issued_at)
        times = {"exp": int(ends_at), "iat": since, "nbf": since}
        return {**about, "scope": session.scope, "token_type": "access_token", **times}

    async def _revoke(self, request: web.Request) -> web.Response:
        token = (await form_of(request)).get("token") or request.query.get("token", "")
        known = self._tokens.revoke(token)
        error = {"error": "invalid_token", "error_description": "invalid token"}
        callback = request.query.get("callback", "")
        if request.method == "GET" and _CALLBACK.fullmatch(callback):
            # A script can't read a status, so this form states an error in its argument alone.
            argument = orjson.dumps({} if known else {"error": error["error"]}).decode()
            return web.Response(text=f"{callback}({argument});", content_type="application/javascript")
        return web.Response() if known else web.json_response(error, status=400)
