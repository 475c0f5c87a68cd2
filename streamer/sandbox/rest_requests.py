"""Requests of the org's REST API and of Apex REST: session, body and client, and the form of answers."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from aiohttp import web

from streamer.sandbox.auth.tokens import TokenIssuer, TokenSession
from streamer.sandbox.org.refusals import Refused

API_VERSIONS = range(31, 69)
"""Versions of the API that the org serves; Salesforce has retired earlier versions."""

_JSON = "application/json;charset=UTF-8"
_UNAUTHORIZED = 401
_CHALLENGE = {"WWW-Authenticate": "Token"}
_CLIENT = re.compile(r"client=([\w.\-/]+)")


def session_of(headers: Mapping[str, str], tokens: TokenIssuer) -> TokenSession:
    """Return the session of the Authorization header; raises `Refused` without a valid session."""
    session = tokens.session(headers.get("Authorization"))
    if session is None:
        raise Refused("INVALID_SESSION_ID", "Session expired or invalid", status=401)
    return session


def client_of(headers: Mapping[str, str]) -> str | None:
    """Return the client that `Sforce-Call-Options` names, or `None` if it names no client."""
    client = _CLIENT.search(headers.get("Sforce-Call-Options", ""))
    return client[1] if client else None


def parsed(body: bytes) -> Any:
    """Return the value of a JSON body; raises `Refused` with the place of the mistake."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        message = f"{error.msg} at [line:{error.lineno}, column:{error.colno}]"
        raise Refused("JSON_PARSER_ERROR", message) from error


def method_not_allowed(method: str, allowed: Iterable[str]) -> Refused:
    """Return the refusal of an HTTP method that a resource does not have."""
    message = f"HTTP Method '{method}' not allowed. Allowed are {','.join(allowed)}"
    return Refused("METHOD_NOT_ALLOWED", message, status=405)


def json_response(body: Any, *, status: int, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return a response with `body` as JSON, or without a body for `None`."""
    if body is None:
        return web.Response(status=status, headers=headers)
    whole = {**(headers or {}), **(_CHALLENGE if status == _UNAUTHORIZED else {}), "Content-Type": _JSON}
    return web.Response(status=status, headers=whole, body=orjson.dumps(body))
