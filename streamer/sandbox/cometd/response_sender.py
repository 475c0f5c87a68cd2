"""Sends responses, whole or broken by a fault."""

import asyncio

from aiohttp import web

from streamer.sandbox.cometd.http_exchange import HttpExchange
from streamer.sandbox.cometd.sessions import ServerContext

_GARBAGE = b"<html><head><title>Salesforce</title></head><body>We are down for maintenance.</body></html>"


class ResponseSender:
    """Sends the responses of exchanges."""

    def __init__(self, context: ServerContext) -> None:
        self._context = context

    async def send(self, request: web.Request, exchange: HttpExchange) -> web.StreamResponse:
        """Return the response to `request`, broken by the faults of the exchange."""
        for fault in exchange.faults:
            match fault.name:
                case "slow":
                    await self._context.clock.sleep(fault.settings["seconds"])
                case "half_open":
                    await self._context.armed.until_healed()
                    return _cut(request)
                case "lose_response":
                    return _cut(request)
                case _:
                    return await self._break(request, exchange, fault.settings["how"])
        return self._whole(request, exchange)

    def _whole(self, request: web.Request, exchange: HttpExchange) -> web.Response:
        body = exchange.body(replies_first=self._context.limits.connect_reply_first)
        response = web.Response(body=body, content_type="application/json", charset="UTF-8")
        exchange.cookies.set_on(response, handshake=exchange.did_handshake, secure=request.secure)
        if self._context.limits.gzip and "gzip" in request.headers.get("Accept-Encoding", ""):
            response.enable_compression(web.ContentCoding.gzip)
        if self._context.limits.chunked:
            response.enable_chunked_encoding()
        return response

    async def _break(self, request: web.Request, exchange: HttpExchange, how: str) -> web.StreamResponse:
        if how == "garbage":
            return web.Response(body=_GARBAGE, content_type="application/json", charset="UTF-8")
        body = exchange.body(replies_first=self._context.limits.connect_reply_first)
        response = web.StreamResponse(headers={"Content-Type": "application/json;charset=UTF-8"})
        response.content_length = len(body)
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        # The half must be sent before the connection ends, or the whole response would be lost.
        await asyncio.sleep(0)
        return _cut(request, reset=how == "reset")


def _cut(request: web.Request, *, reset: bool = False) -> web.Response:
    if request.transport is not None:
        if reset:
            request.transport.abort()
        else:
            request.transport.close()
    return web.Response()
