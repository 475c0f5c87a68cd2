"""One Bayeux session: a client id, its cookies and its connections to one server."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson
from yarl import URL

from streamer.clock import Clock
from streamer.salesforce.auth.tokens import AccessToken
from streamer.salesforce.cometd import protocol
from streamer.salesforce.cometd.answer import BayeuxResponse
from streamer.salesforce.cometd.protocol import Advice, JsonObject, TornBody
from streamer.salesforce.responses import BodyTooLarge, read_body, time_of
from streamer.salesforce.sessions import Reaction
from streamer.web.proxy import ProxyFailed, send, through
from streamer.web.reasons import connection_reason

# Largest answer that is sorted on the event loop. Only answers to a connect are larger.
_SMALL_BYTES = 64 * 1024


class SessionLost(Exception):
    """The session has failed: begin a new session, and subscribe from the positions in the log.

    `reason` is one of a few stable words. `polite` means that the server still
    knows the session, so that the client ends the session with a disconnect.
    """

    def __init__(self, reason: str, detail: str, *, reaction: Reaction, polite: bool = False) -> None:
        """`reason` is a word, `detail` a sentence, and `reaction` the required reaction."""
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.reaction = reaction
        self.polite = polite

    @classmethod
    def by(cls, reply: Mapping[str, Any]) -> "SessionLost":
        """Return the error for the unsuccessful `reply`."""
        reaction = protocol.reaction(reply)
        detail = "; ".join(protocol.causes(reply))[:500] or "no cause given"
        return cls(
            reaction.name.lower(),
            f"the request to {reply.get('channel')} failed: {detail}",
            reaction=reaction,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BayeuxOptions:
    """Options of a session: times in seconds, sizes in bytes.

    The server holds a connect for a known time; the connect is overdue `grace_s`
    after that time. Salesforce refuses requests of 32,768 bytes or more, and can
    send answers of more than ten million bytes (Streaming API guide).
    """

    api_version: str = "64.0"
    request_timeout_s: float = 30.0
    tcp_timeout_s: float = 15.0
    grace_s: float = 20.0
    farewell_s: float = 2.0
    request_bytes: int = 30_000
    answer_bytes: int = 64 * 1024 * 1024


class BayeuxSession:
    """Client of one Bayeux session. Every call raises `SessionLost` if no complete answer arrives.

    A new session has new cookies and new TCP connections, so that an expired
    routing cookie or a half-open connection affects only one session.
    """

    def __init__(self, token: AccessToken, clock: Clock, options: BayeuxOptions) -> None:
        """Prepare a session with the org that issued `token`."""
        self._clock = clock
        self._options = options
        self._proxy = token.proxy
        self._url = URL(f"{token.instance_url}/cometd/{options.api_version}")
        self._headers = {
            "Authorization": f"Bearer {token.access_token}",
            "Content-Type": "application/json",
        }
        self._ids = itertools.count(1)
        self._client_id = ""
        self.advice = Advice()
        self.org_time: float | None = None
        """Salesforce's time in the last answer, in epoch seconds; `None` if the answer has no time."""
        self.connects = 0
        self.subscribed: set[str] = set()
        self.used: set[str] = set()
        """Paths that were ever subscribed in this session; their events can still arrive."""

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(
            # The session has only one server, so cookies of a bare IP address are safe,
            # and so are secure cookies of loopback without TLS.
            cookie_jar=aiohttp.CookieJar(unsafe=True, treat_as_secure_origin=self._url.origin()),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._options.tcp_timeout_s),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect if the server still knows the session, then close every connection."""
        try:
            if self._client_id and (not isinstance(error, SessionLost) or error.polite):
                await self._disconnect()
        finally:
            await self._http.close()

    async def handshake(self) -> None:
        """Get a client id."""
        message = {
            "channel": protocol.HANDSHAKE,
            "version": "1.0",
            "minimumVersion": "1.0",
            "supportedConnectionTypes": ["long-polling"],
            "ext": {"replay": True},
        }
        answer = await self._post([self._numbered(message)], timeout_s=self._options.request_timeout_s)
        reply = self.reply(answer, protocol.HANDSHAKE)
        client_id = reply.get("clientId")
        if not reply.get("successful") or not isinstance(client_id, str):
            raise SessionLost.by(reply)
        self._client_id = client_id

    async def connect(self) -> BayeuxResponse:
        """Wait for events; the first call returns at once. A large answer is returned in parts."""
        self.connects += 1
        message: JsonObject = {"channel": protocol.CONNECT, "connectionType": "long-polling"}
        status, body = await self._received(
            [self._numbered(message)], timeout_s=self.advice.timeout_s + self._options.grace_s
        )
        quickly, slowly = (
            partial(BayeuxResponse.quickly, status, body),
            partial(BayeuxResponse.slowly, status, body),
        )
        return await _sorted(status, quickly, slowly)

    async def following(self, answer: BayeuxResponse) -> BayeuxResponse:
        """Return the next part of a large answer."""
        return await _sorted(answer.status, answer.quickly_following, answer.slowly_following)

    async def subscribe(
        self, replay: Mapping[str, int]
    ) -> AsyncGenerator[tuple[BayeuxResponse, dict[str, JsonObject | None]], None]:
        """Subscribe every path of `replay` from its replay number, a few paths per request.

        Yields each answer with the reply for each path.
        """
        self.used |= replay.keys()
        self.subscribed |= replay.keys()
        messages = [
            self._numbered(
                {
                    "channel": protocol.SUBSCRIBE,
                    "subscription": path,
                    # Keyed without a PushTopic's filter, like the guide's own client.
                    "ext": {"replay": {path.partition("?")[0]: number}},
                }
            )
            for path, number in replay.items()
        ]
        for chunk in _chunks(messages, self._options.request_bytes):
            answer = await self._post(chunk, timeout_s=self._options.request_timeout_s)
            self.reply(answer, protocol.SUBSCRIBE)
            yield answer, _by_path(chunk, answer.replies[protocol.SUBSCRIBE])

    async def unsubscribe(self, paths: AbstractSet[str]) -> AsyncGenerator[BayeuxResponse, None]:
        """Unsubscribe `paths`, and yield the server's answers. `subscribed` drops the paths at once."""
        self.subscribed -= paths
        messages = [
            self._numbered({"channel": protocol.UNSUBSCRIBE, "subscription": path}) for path in sorted(paths)
        ]
        for chunk in _chunks(messages, self._options.request_bytes):
            yield await self._post(chunk, timeout_s=self._options.request_timeout_s)

    def reply(self, answer: BayeuxResponse, channel: str) -> JsonObject:
        """Return the reply of the meta `channel` in `answer`, and store the reply's advice.

        Raises `SessionLost` if the answer has no such reply.
        """
        replies = answer.replies.get(channel)
        if not replies:
            raise _without_reply(answer.status, f"the answer has no reply to {channel}")
        self.advice = self.advice.updated(replies[-1])
        return replies[-1]

    async def _disconnect(self) -> None:
        try:
            await self._post(
                [self._numbered({"channel": protocol.DISCONNECT})], timeout_s=self._options.farewell_s
            )
        except SessionLost:
            # The server itself ends an abandoned session after 40 s.
            return

    def _numbered(self, message: JsonObject) -> JsonObject:
        numbered = {**message, "id": str(next(self._ids))}
        return {**numbered, "clientId": self._client_id} if self._client_id else numbered

    async def _post(self, messages: Sequence[JsonObject], *, timeout_s: float) -> BayeuxResponse:
        status, body = await self._received(messages, timeout_s=timeout_s)

        def quickly() -> BayeuxResponse | None:
            return BayeuxResponse.of(status, body) if len(body) <= _SMALL_BYTES else None

        return await _sorted(status, quickly, partial(BayeuxResponse.of, status, body))

    async def _received(self, messages: Sequence[JsonObject], *, timeout_s: float) -> tuple[int, bytes]:
        try:
            return await self._exchange(orjson.dumps(messages), timeout_s)
        except TimeoutError as exc:
            raise SessionLost(
                "overdue",
                f"Salesforce sent no complete answer in {timeout_s:g} s{through(self._proxy)}",
                reaction=Reaction.TRY_AGAIN,
            ) from exc
        except ProxyFailed as exc:
            raise SessionLost("proxy_failed", str(exc), reaction=Reaction.TRY_AGAIN) from exc
        except (aiohttp.ClientError, OSError, BodyTooLarge) as exc:
            detail = f"{type(exc).__name__}{through(self._proxy)}: {connection_reason(exc)}"
            raise SessionLost("answer_lost", detail, reaction=Reaction.TRY_AGAIN) from exc

    async def _exchange(self, body: bytes, timeout_s: float) -> tuple[int, bytes]:
        async with self._clock.timeout(timeout_s):
            # Do not use the client's default headers, because aiohttp also sends those to a proxy.
            response = await send(
                self._http, "POST", self._url, proxy=self._proxy, headers=self._headers, data=body
            )
        self.org_time = time_of(response)
        async with response:
            limit = self._options.answer_bytes
            return response.status, await read_body(response, self._clock, limit=limit, idle_s=timeout_s)


# Reactions to statuses that come from load balancers and proxies.
_BY_STATUS: Mapping[int, Reaction] = {
    HTTPStatus.UNAUTHORIZED: Reaction.RENEW_TOKEN,
    HTTPStatus.FORBIDDEN: Reaction.HANDSHAKE,
    HTTPStatus.TOO_MANY_REQUESTS: Reaction.LEAVE_ALONE,
}


async def _sorted(
    status: int, quickly: Callable[[], BayeuxResponse | None], slowly: Callable[[], BayeuxResponse]
) -> BayeuxResponse:
    try:
        answer = quickly()
        return answer if answer is not None else await asyncio.to_thread(slowly)
    except TornBody as exc:
        raise _without_reply(status, str(exc)) from exc


def _without_reply(status: int, detail: str) -> SessionLost:
    reason = "answer_broken" if status == HTTPStatus.OK else f"http_{status}"
    return SessionLost(reason, detail, reaction=_BY_STATUS.get(status, Reaction.TRY_AGAIN))


def _chunks(messages: Iterable[JsonObject], limit: int) -> Iterable[list[JsonObject]]:
    chunk: list[JsonObject] = []
    size = 0
    for message in messages:
        length = len(orjson.dumps(message)) + 1
        if chunk and size + length > limit:
            yield chunk
            chunk, size = [], 0
        chunk.append(message)
        size += length
    if chunk:
        yield chunk


def _by_path(asked: Iterable[JsonObject], replies: Iterable[JsonObject]) -> dict[str, JsonObject | None]:
    # A reply names one or several channels; after a lost session, it has only the id of the request.
    found: dict[str, JsonObject] = {}
    for reply in replies:
        named = reply.get("subscription") or str(reply.get("id"))
        for name in named if isinstance(named, list) else [named]:
            found[str(name)] = reply
    return {
        message["subscription"]: found.get(message["subscription"]) or found.get(message["id"])
        for message in asked
    }
