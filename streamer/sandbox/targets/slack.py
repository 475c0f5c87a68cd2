"""Slack receiver: incoming webhooks and chat.postMessage."""

from typing import Any

import orjson
from aiohttp import web

from streamer.clock import Clock
from streamer.events import JsonObject
from streamer.sandbox.targets.receiver import Receiver, answer, json_object

# Slack's reference: chat.postMessage's "text" and "blocks", "Header block", "Text object".
_TEXT_CHARACTERS = 40_000
_BLOCKS = 50
_HEADER_CHARACTERS = 150
_SECTION_CHARACTERS = 3_000

_WEBHOOK_STATUS = {
    "channel_is_archived": 410,
    "invalid_payload": 400,
    "invalid_blocks": 400,
    "no_service": 404,
    "no_text": 400,
}


class SlackReceiver(Receiver):
    """A workspace with one token, one webhook and some channels.

    As in Slack, a channel accepts one message a second, with short bursts, and has no
    idempotency keys. `messages` holds the visible messages. A client is configured with
    `api_url` and `webhook_url`.
    """

    def __init__(self, clock: Clock, *, token: str = "", burst: int = 5, port: int = 0) -> None:
        """Admit `token`, or any token if `token` is empty, and bursts of `burst` messages."""
        super().__init__(clock, port=port)
        self.messages: list[JsonObject] = []
        self.channels = {"C0GENERAL1": "general", "C0SALES001": "sales"}
        self.archived: set[str] = set()
        self.webhook_gone = False
        self._token = token
        self._burst = burst
        self._next_at: dict[str, float] = {}

    @property
    def api_url(self) -> str:
        """Base URL of the Web API."""
        return f"{self.url}/api"

    @property
    def webhook_url(self) -> str:
        """URL of an incoming webhook into the first channel."""
        return f"{self.url}/services/T0LOCAL/B0LOCAL/local-webhook-secret"

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of chat.postMessage, auth.test and the webhook."""
        return [
            web.post("/api/auth.test", self._auth_test),
            web.post("/api/chat.postMessage", self._post_message),
            web.post("/services/T0LOCAL/B0LOCAL/{secret}", self._webhook),
        ]

    def accepts(self, response: web.StreamResponse) -> bool:
        """Return whether a message was posted: the Web API reports errors with status 200."""
        refused = isinstance(response, web.Response) and _is_not_ok(response.body)
        return super().accepts(response) and not refused

    async def _auth_test(self, request: web.Request) -> web.Response:
        refused = self._refusal(request)
        if refused is not None:
            return _not_ok(refused)
        return answer(200, {"ok": True, "url": f"{self.url}/", "team": "local", "user": "streamer"})

    def _refusal(self, request: web.Request) -> str | None:
        """Return the error code of a request without the token, or `None`."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not token:
            return "not_authed"
        return "invalid_auth" if self._token and token != self._token else None

    async def _post_message(self, request: web.Request) -> web.Response:
        refused = self._refusal(request)
        if refused is not None:
            return _not_ok(refused)
        message = await json_object(request)
        if message is None:
            return _not_ok("invalid_json")
        channel = self._channel(message.get("channel"))
        if channel is None:
            return _not_ok("channel_not_found")
        return self._web_api(channel, message)

    def _web_api(self, channel: str, message: JsonObject) -> web.Response:
        error = self._error(channel, message, archived="is_archived")
        if error is not None:
            return _not_ok(error)
        wait_s = self._wait(channel)
        if wait_s > 0:
            return answer(429, {"ok": False, "error": "ratelimited"}, _retry_after(wait_s))
        ts = self._posted(channel, message)
        return answer(200, {"ok": True, "channel": channel, "ts": ts, "message": message})

    async def _webhook(self, request: web.Request) -> web.Response:
        channel = next(iter(self.channels))
        message = await json_object(request)
        error = self._webhook_error(channel, request.match_info["secret"], message)
        if error is not None or message is None:
            return web.Response(status=_WEBHOOK_STATUS.get(error or "", 400), text=error)
        wait_s = self._wait(channel)
        if wait_s > 0:
            return web.Response(status=429, text="rate_limited", headers=_retry_after(wait_s))
        self._posted(channel, message)
        return web.Response(text="ok")

    def _webhook_error(self, channel: str, secret: str, message: JsonObject | None) -> str | None:
        if self.webhook_gone or secret != self.webhook_url.rpartition("/")[2]:
            return "no_service"
        if message is None:
            return "invalid_payload"
        return self._error(channel, message, archived="channel_is_archived")

    def _channel(self, wanted: Any) -> str | None:
        for channel, name in self.channels.items():
            if wanted in {channel, name, f"#{name}"}:
                return channel
        return None

    def _error(self, channel: str, message: JsonObject, *, archived: str) -> str | None:
        if channel in self.archived:
            return archived
        text, blocks = message.get("text"), message.get("blocks")
        if not text and not blocks:
            return "no_text"
        if isinstance(text, str) and len(text) > _TEXT_CHARACTERS:
            return "msg_too_long"
        return None if _are_valid(blocks) else "invalid_blocks"

    def _wait(self, channel: str) -> float:
        """Take one message from the channel's token bucket.

        If the bucket is empty, return the wait in seconds.
        """
        now = self._clock.now()
        next_at = max(self._next_at.get(channel, now), now)
        if next_at - now > self._burst - 1:
            return next_at - now - (self._burst - 1)
        self._next_at[channel] = next_at + 1.0
        return 0.0

    def _posted(self, channel: str, message: JsonObject) -> str:
        ts = f"{self._clock.now():.0f}.{len(self.messages) + 1:06d}"
        self.messages.append({**message, "channel": channel, "ts": ts})
        return ts


def _are_valid(blocks: Any) -> bool:
    if blocks is None:
        return True
    if not isinstance(blocks, list) or len(blocks) > _BLOCKS:
        return False
    return all(isinstance(block, dict) and _is_valid(block) for block in blocks)


def _is_valid(block: JsonObject) -> bool:
    text = block.get("text")
    said = text.get("text") if isinstance(text, dict) else None
    match block.get("type"):
        case "header":
            return isinstance(said, str) and 0 < len(said) <= _HEADER_CHARACTERS
        case "section":
            return "fields" in block or (isinstance(said, str) and 0 < len(said) <= _SECTION_CHARACTERS)
        case "context":
            return isinstance(block.get("elements"), list)
        case kind:
            return kind in {"actions", "divider", "image", "rich_text", "video"}


def _is_not_ok(body: object) -> bool:
    return isinstance(body, bytes) and body.startswith(b'{"ok":false')


def _not_ok(error: str) -> web.Response:
    return web.Response(body=orjson.dumps({"ok": False, "error": error}), content_type="application/json")


def _retry_after(wait_s: float) -> dict[str, str]:
    return {"Retry-After": str(max(1, round(wait_s)))}
