"""Middleware of the API: authentication, and errors as JSON.

A page in an operator's browser can't use the API. To send JSON to another site, a
browser first sends a preflight request, which the API never grants. A page whose
own host name points to this machine (DNS rebinding) fails the check of the `Host`
header. An API without a token also refuses requests that a browser marks as coming
from another site, so a page can't keep the daemon busy.
"""

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from pydantic import ValidationError
from yarl import URL

from streamer.admin.gate import AccessRight, Gate
from streamer.admin.schemas import ApiError, first_mistake
from streamer.errors import LogUnavailable, StreamerError
from streamer.exact_json import exact_json
from streamer.web.addresses import is_loopback

_log = structlog.get_logger()

_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
STREAM_HEADERS = {**_HEADERS, "Content-Type": "application/x-ndjson"}
"""Headers of a streaming answer of JSON lines."""

INTERNAL_ERROR = "Internal error; see Streamer's log output."
"""Sentence for an internal error of Streamer."""

_READING = frozenset({"GET", "HEAD"})
_STATUS_SENTENCES = {
    404: "The daemon serves nothing at this path.",
    405: "This path does not support the request's method.",
    413: "The request's body is too large.",
    503: "The daemon is answering too many requests: try again in a second.",
}


def json_response(body: object, *, status: int = 200) -> web.Response:
    """Return a response with `body` as JSON."""
    return web.Response(
        body=exact_json(body, indented=True),
        status=status,
        content_type="application/json",
        headers=_HEADERS,
    )


def authentication(gate: Gate) -> Middleware:
    """Return middleware that checks tokens; if no token is configured, only requests to loopback pass.

    An application mounted below the API, such as the console, authenticates its own
    requests. Raises `ApiError` 401, 403 or 429, and 415 for a change whose body is
    not JSON.
    """

    @web.middleware
    async def authenticated(request: web.Request, handler: Handler) -> web.StreamResponse:
        if len(request.match_info.apps) > 1:
            return await handler(request)
        if gate.token is not None:
            _check_token(request, gate.right_of(request))
        else:
            check_host(request)
            if is_of_another_site(request):
                raise ApiError(403, "This request comes from a page of another site.")
        if request.method not in _READING and request.content_type != "application/json":
            raise ApiError(415, "Send the body as JSON, with Content-Type: application/json.")
        return await handler(request)

    return authenticated


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn an exception into a JSON response with a sentence and a fitting status."""
    try:
        return await handler(request)
    except Exception as error:  # noqa: BLE001 - whatever failed, the client waits for an answer
        status, sentence = status_and_sentence(error)
        if sentence is INTERNAL_ERROR:
            _log.exception("admin.failed", method=request.method, path=request.path)
        return _error_response(status, sentence)


def status_and_sentence(error: Exception) -> tuple[int, str]:
    """Return the status and the sentence for a request that failed with `error`."""
    match error:
        case ApiError():
            return error.status, str(error)
        case ValidationError():
            return 400, first_mistake(error)
        case web.RequestPayloadError():
            return 400, "The request's body does not match its headers."
        case web.HTTPException():
            return error.status, _STATUS_SENTENCES.get(error.status, f"{error.reason}.")
        case StreamerError():
            return 503 if isinstance(error, LogUnavailable) else 500, str(error)
        case _:
            return 500, INTERNAL_ERROR


def _error_response(status: int, sentence: str) -> web.Response:
    response = json_response({"error": sentence}, status=status)
    if status == 401:  # noqa: PLR2004 - unauthorized
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _check_token(request: web.Request, right: AccessRight | None) -> None:
    if right is None:
        raise ApiError(
            401,
            "This request needs the token in admin.token: send Authorization: Bearer …, or set "
            "STREAMER_ADMIN_TOKEN.",
        )
    if right is AccessRight.READ and request.method not in _READING:
        raise ApiError(
            403, "The token in admin.reader_token permits no changes: use the token in admin.token."
        )


def is_of_another_site(request: web.Request) -> bool:
    """Return true if a browser sent the request from a page of another origin, even on this machine."""
    return request.headers.get("Sec-Fetch-Site", "none").lower() not in {"same-origin", "none"}


def check_host(request: web.Request) -> None:
    """Raise `ApiError` 403 unless the request's `Host` header names a loopback address."""
    try:
        host = URL.build(scheme="http", authority=request.headers.get("Host", "")).host or ""
    except ValueError:
        host = ""
    if not is_loopback(host):
        raise ApiError(
            403, "Without admin.token, this address answers only as localhost, 127.0.0.1 and [::1]."
        )
