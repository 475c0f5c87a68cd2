"""Middleware of every REST request: session check, count of calls, and error format."""

import re
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from streamer.sandbox.auth.tokens import Session, Tokens
from streamer.sandbox.org.org import Org
from streamer.sandbox.org.refusals import Refused
from streamer.sandbox.org.transaction import Transaction

BASE = r"/services/data/v{version:\d+\.\d}"
"""The start of every versioned REST path."""

DAILY_CALLS = 100_000
_CLIENT = re.compile(r"client=([\w.\-/]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One REST request of a session."""

    request: web.Request
    session: Session
    org: Org

    def __getitem__(self, name: str) -> str:
        """Return a parameter of the path."""
        return self.request.match_info[name]

    @property
    def base(self) -> str:
        """The start of this request's path, with its API version."""
        return f"/services/data/v{self['version']}"

    async def json_object(self) -> dict[str, Any]:
        """Return the body; raises `Refused` when it is no JSON object."""
        try:
            body = orjson.loads(await self.request.read())
        except orjson.JSONDecodeError as error:
            raise Refused("JSON_PARSER_ERROR", f"The body is not JSON: {error}") from error
        if not isinstance(body, dict):
            raise Refused("JSON_PARSER_ERROR", "The body must be a JSON object")
        return body

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Return a transaction of the session's user, with this request's client in its origin."""
        client = _CLIENT.search(self.request.headers.get("Sforce-Call-Options", ""))
        origin = f"com/salesforce/api/rest/{self['version']}"
        tagged = f"{origin};client={client[1]}" if client else origin
        return self.org.transaction(user=self.session.user_id, origin=tagged)


Handler = Callable[[Call], Awaitable[web.Response]]


def answer(value: Any, *, status: int = 200) -> web.Response:
    """Return a response with `value` as JSON."""
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")


class RestMiddleware:
    """Admits valid sessions, counts their calls, and turns refusals into Salesforce's error lists."""

    def __init__(self, org: Org, tokens: Tokens) -> None:
        self._org = org
        self._tokens = tokens
        self.calls = 0

    def wrap(self, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Return `handler` behind these checks, for the server to mount."""

        async def wrapped(request: web.Request) -> web.StreamResponse:
            session = self._tokens.session(request.headers.get("Authorization"))
            if session is None:
                expired = Refused("INVALID_SESSION_ID", "Session expired or invalid", status=401)
                return answer([expired.as_rest_error()], status=401)
            self.calls += 1
            try:
                response = await handler(Call(request=request, session=session, org=self._org))
            except Refused as refused:
                response = answer([refused.as_rest_error()], status=refused.status)
            response.headers["Sforce-Limit-Info"] = f"api-usage={self.calls}/{DAILY_CALLS}"
            return response

        return wrapped
