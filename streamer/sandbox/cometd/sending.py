"""Puts an answer on the wire, whole or the way a fault wants it."""

import asyncio

from aiohttp import web

from streamer.sandbox.cometd.exchange import Exchange
from streamer.sandbox.cometd.node import Node

_GARBAGE = b"<html><head><title>Salesforce</title></head><body>We are down for maintenance.</body></html>"


class Sending:
    """Sends the answers of exchanges."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def send(self, request: web.Request, exchange: Exchange) -> web.StreamResponse:
        """Answer `request`, or break the answer as its mishaps say."""
        for fault in exchange.mishaps:
            match fault.name:
                case "slow":
                    await self._node.clock.sleep(fault.settings["seconds"])
                case "half_open":
                    await self._node.pending.until_healed()
                    return _cut(request)
                case "lose_response":
                    return _cut(request)
                case _:
                    return await self._break(request, exchange, fault.settings["how"])
        return self._whole(request, exchange)

    def _whole(self, request: web.Request, exchange: Exchange) -> web.Response:
        body = exchange.body(replies_first=self._node.limits.connect_reply_first)
        response = web.Response(body=body, content_type="application/json", charset="UTF-8")
        exchange.cookies.set_on(response, handshake=exchange.shook_hands, secure=request.secure)
        if self._node.limits.gzip and "gzip" in request.headers.get("Accept-Encoding", ""):
            response.enable_compression(web.ContentCoding.gzip)
        if self._node.limits.chunked:
            response.enable_chunked_encoding()
        return response

    async def _break(self, request: web.Request, exchange: Exchange, how: str) -> web.StreamResponse:
        if how == "garbage":
            return web.Response(body=_GARBAGE, content_type="application/json", charset="UTF-8")
        body = exchange.body(replies_first=self._node.limits.connect_reply_first)
        response = web.StreamResponse(headers={"Content-Type": "application/json;charset=UTF-8"})
        response.content_length = len(body)
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        # The half must leave before the end of the connection does, or it would be a lost response.
        await asyncio.sleep(0)
        return _cut(request, reset=how == "reset")


def _cut(request: web.Request, *, reset: bool = False) -> web.Response:
    if request.transport is not None:
        if reset:
            request.transport.abort()
        else:
            request.transport.close()
    return web.Response()
