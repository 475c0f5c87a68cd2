"""Outbound messages in the control API."""

from dataclasses import dataclass
from typing import Any

from aiohttp import web

from streamer.sandbox.control.bodies import Handler, answer, json_object
from streamer.sandbox.outbound.message import OutboundMessage
from streamer.sandbox.outbound.sender import OutboundQueue, OutboundSender


@dataclass(frozen=True, slots=True)
class OutboundMessageResource:
    """Serves `/sandbox/outbound`: the defined messages, and their waiting notifications."""

    sender: OutboundSender

    def handlers(self) -> list[tuple[str, str, Handler]]:
        """Return methods, paths and handlers."""
        return [
            ("GET", "/sandbox/outbound", self._list),
            ("PUT", "/sandbox/outbound/{name}", self._put),
            ("DELETE", "/sandbox/outbound/{name}", self._remove),
        ]

    async def _list(self, _request: web.Request) -> web.Response:
        return answer({name: _shown(queue) for name, queue in self.sender.queues.items()})

    async def _put(self, request: web.Request) -> web.Response:
        message = OutboundMessage.model_validate(await json_object(request))
        return answer(_shown(self.sender.define(request.match_info["name"], message)))

    async def _remove(self, request: web.Request) -> web.Response:
        self.sender.remove(request.match_info["name"])
        return web.Response(status=204)


def _shown(queue: OutboundQueue) -> dict[str, Any]:
    return {
        **queue.message.model_dump(mode="json"),
        "waiting": len(queue.waiting),
        "envelopes": queue.envelopes,
        "acknowledged": queue.acknowledged,
        "dropped": queue.dropped,
    }
