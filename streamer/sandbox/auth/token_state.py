"""OAuth endpoints about issued tokens: introspection and revocation."""

import re
from typing import Any

import orjson
from aiohttp import web

from streamer.sandbox.auth.connected_app import TokenDenied, form_of, origin
from streamer.sandbox.auth.directory import Directory
from streamer.sandbox.auth.tokens import RefreshToken, TokenIssuer, TokenSession

_CALLBACK = re.compile(r"[A-Za-z_$][\w$.]{0,99}")


class TokenState:
    """Serves `introspect`, and `revoke` by form, by link and by script."""

    def __init__(self, tokens: TokenIssuer, directory: Directory) -> None:
        self._tokens = tokens
        self._directory = directory

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
            self._directory.check_client(request, form)
        except TokenDenied as denied:
            return denied.answer()
        state = self._state(form.get("token", ""), origin(request))
        return web.json_response(state or {"active": False})

    def _state(self, token: str, url: str) -> dict[str, Any] | None:
        refresh = self._tokens.refresh_token(token)
        if refresh is not None:
            return {**self._about(refresh, url), "token_type": "refresh_token"}
        found = self._tokens.look_up(token)
        if found is None:
            return None
        session, ends_at = found
        about = self._about(session, url)
        return {**about, "token_type": "access_token", "exp": int(ends_at)}

    def _about(self, issued: TokenSession | RefreshToken, url: str) -> dict[str, Any]:
        since = int(issued.issued_at)
        return {
            "active": True,
            "client_id": issued.client_id,
            "username": self._directory.user(issued.user_id).username,
            "sub": f"{url}/id/{self._directory.org_id}/{issued.user_id}",
            "scope": issued.scope,
            "iat": since,
            "nbf": since,
        }

    async def _revoke(self, request: web.Request) -> web.Response:
        token = (await form_of(request)).get("token") or request.query.get("token", "")
        known = self._tokens.revoke(token)
        error = {"error": "invalid_token", "error_description": "invalid token"}
        callback = request.query.get("callback", "")
        if request.method == "GET" and _CALLBACK.fullmatch(callback):
            # A script can't read the HTTP status, so in this form only the argument states an error.
            argument = orjson.dumps({} if known else {"error": error["error"]}).decode()
            return web.Response(text=f"{callback}({argument});", content_type="application/javascript")
        return web.Response() if known else web.json_response(error, status=400)
