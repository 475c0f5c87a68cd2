"""HTTP listener on a configured address, protected against clients that misbehave."""

import asyncio
import errno
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from http import HTTPStatus
from typing import Any

from aiohttp import hdrs, http_exceptions, web

from streamer.errors import ConfigurationError
from streamer.web.guard import Guard, Handler
from streamer.web.tls import HANDSHAKE_S, TlsFiles, server_context

_CLOSING_S = 1.0
_KEEPALIVE_S = 15.0
# The loop reads a request four rounds after accepting its connection. With this limit on the two
# sockets of `localhost`, fewer clients arrive in that time than the guard lets wait.
_ACCEPTED_AT_ONCE = 4
_WAITING_CLIENTS = 256
_NO_CODING = "identity"


def refused_address(error: OSError, *, host: str, port: int) -> str:
    """Return the reason why a listener can't open an address, in an operator's words."""
    if error.errno == errno.EADDRINUSE:
        return f"{host}:{port} is already in use"
    # asyncio's message repeats the address; an unresolvable name has a negative error number.
    reason = (error.strerror or str(error)).partition(" (while ")[0]
    if error.errno is not None and error.errno > 0:
        reason = os.strerror(error.errno)
    return f"can't listen on {host}:{port} ({reason})"


@asynccontextmanager
async def listening(
    app: web.Application,
    *,
    host: str,
    port: int,
    section: str,
    tls: TlsFiles | None = None,
    probes: Iterable[str] = (),
) -> AsyncIterator[int]:
    """Serve `app` at `host` inside the context; yields the port. With port 0, the system chooses a free port.

    At most 64 requests run at a time, at most three quarters of them from one address;
    further requests get 503. The same number of connections can wait for a request, and
    a new connection replaces the connection that has been idle for longest. `probes`
    are paths of routes that answer without waiting; a GET of a probe is always
    answered. A connection is closed if it sends nothing, or only a part of a request,
    for 15 s. A compressed body is refused. With `tls`, a handshake takes at most 5 s.
    Raises `ConfigurationError`, which names the `section` of the configuration, when
    the address or a file of `tls` is unusable.
    """
    guard = Guard(section, probes)
    app.middlewares.extend((guard.watched, _uncompressed))
    runner = web.AppRunner(app, shutdown_timeout=_CLOSING_S)
    await runner.setup()
    assert runner.server is not None  # noqa: S101 - the setup has made it
    handler = partial(_handler, runner.server)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(runner.cleanup)
        context = await stack.enter_async_context(server_context(tls))
        handshake_s = HANDSHAKE_S if context else None
        server = await _bound(
            guard.protect(handler, context=context, handshake_s=handshake_s), host, port, section
        )
        await stack.enter_async_context(server)
        _let_wait(server)
        await stack.enter_async_context(guard.watching())
        yield server.sockets[0].getsockname()[1]


async def _bound(
    accept: Callable[[], asyncio.BaseProtocol], host: str, port: int, section: str
) -> asyncio.Server:
    try:
        return await asyncio.get_running_loop().create_server(accept, host, port, backlog=_ACCEPTED_AT_ONCE)
    except OSError as error:
        raise ConfigurationError(
            f"{section}: {refused_address(error, host=host, port=port)}; choose another "
            f"{section}.port or {section}.host; with port 0, the system chooses a free port."
        ) from error


@web.middleware
async def _uncompressed(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse a body with a content coding (RFC 9110, 8.4), because Streamer's clients need none."""
    coding = request.headers.get(hdrs.CONTENT_ENCODING, _NO_CODING).strip().lower()
    if coding == _NO_CODING:
        return await handler(request)
    refused = web.HTTPUnsupportedMediaType(text="The body is compressed: send an uncompressed body.")
    refused.headers[hdrs.ACCEPT_ENCODING] = _NO_CODING
    refused.force_close()
    raise refused


def _let_wait(server: asyncio.Server) -> None:
    """Let more clients wait for a connection than asyncio accepts at once.

    A client that finds the waiting queue full retries only after a second.
    """
    for each in server.sockets:
        with socket.socket(fileno=os.dup(each.fileno())) as listening_socket:
            listening_socket.listen(_WAITING_CLIENTS)


def _handler(server: web.Server) -> web.RequestHandler:
    """Return the handler of one connection to `server`."""
    # aiohttp's types want a `Logger` in both arguments. The access log is off, and `_ServerLog`
    # adapts a logger.
    logs: dict[str, Any] = {"access_log": None, "logger": _ServerLog(logging.getLogger(__name__), {})}
    return _ReticentHandler(
        server,
        loop=asyncio.get_running_loop(),
        keepalive_timeout=_KEEPALIVE_S,
        # Otherwise the server would decompress the unread rest of a body at once, from a few
        # megabytes to gigabytes.
        auto_decompress=False,
        **logs,
    )


class _ReticentHandler(web.RequestHandler):
    """Handler whose answers never quote an invalid request, because a request can contain secrets."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer an error with the standard phrase of its status."""
        return super().handle_error(request, status, exc, message and HTTPStatus(status).phrase)


class _ServerLog(logging.LoggerAdapter[logging.Logger]):
    """Log of the server. An invalid request is a debug line, because anybody can send one."""

    def exception(self, msg: object, *args: object, exc_info: Any = True, **rest: Any) -> None:
        """Log a handler's error with its traceback, and a client's error without a traceback."""
        if isinstance(exc_info, http_exceptions.HttpProcessingError | web.RequestPayloadError):
            self.debug("not an HTTP request: %s", type(exc_info).__name__)
        else:
            super().exception(msg, *args, exc_info=exc_info, **rest)
