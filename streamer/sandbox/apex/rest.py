"""Apex REST: `/services/apexrest`."""

import re
from typing import Any

import orjson
from aiohttp import web

from streamer.sandbox.apex.methods import ApexAnswer, ApexCall, ApexException, ApexMethods
from streamer.sandbox.auth.tokens import Tokens
from streamer.sandbox.org.org import Org
from streamer.sandbox.org.refusals import Refused

_EXPIRED = Refused("INVALID_SESSION_ID", "Session expired or invalid", status=401)
_CLIENT = re.compile(r"client=([\w.\-/]+)")


class ApexRest:
    """Calls the methods of `@RestResource` classes in valid sessions."""

    def __init__(self, org: Org, tokens: Tokens, methods: ApexMethods) -> None:
        self._org = org
        self._tokens = tokens
        self._methods = methods

    def routes(self) -> list[web.RouteDef]:
        """Return the route of all classes."""
        return [web.route("*", r"/services/apexrest{path:/.*}", self._handle)]

    async def _handle(self, request: web.Request) -> web.Response:
        try:
            return await self._answer(request)
        except Refused as refused:
            return _response(refused.as_rest_errors(), refused.status)

    async def _answer(self, request: web.Request) -> web.Response:
        session = self._tokens.session(request.headers.get("Authorization"))
        if session is None:
            raise _EXPIRED
        path = request.match_info["path"]
        methods = self._methods.of_path(path)
        if not methods:
            raise Refused("NOT_FOUND", "Could not find a match for URL", status=404)
        called = methods.get(request.method)
        if called is None:
            message = f"HTTP Method '{request.method}' not allowed. Allowed are {','.join(methods)}"
            raise Refused("METHOD_NOT_ALLOWED", message, status=405)
        client = _CLIENT.search(request.headers.get("Sforce-Call-Options", ""))
        call = ApexCall(
            method=request.method,
            path=path,
            arguments=_json(await request.read()),
            session=session,
            org=self._org,
            client=client[1] if client else None,
            query=dict(request.query),
        )
        self._methods.calls.append(call)
        try:
            answer = called(call)
        except ApexException as exception:
            raise Refused("APEX_ERROR", str(exception), status=500) from exception
        if isinstance(answer, ApexAnswer):
            return _response(answer.body, answer.status)
        return _response(answer, 200)


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body) if body else None
    except orjson.JSONDecodeError as error:
        message = f"{error.msg} at [line:{error.lineno}, column:{error.colno}]"
        raise Refused("JSON_PARSER_ERROR", message) from error


def _response(body: Any, status: int) -> web.Response:
    if body is None:
        return web.Response(status=status)
    return web.Response(
        status=status, body=orjson.dumps(body), content_type="application/json", charset="UTF-8"
    )
