"""Connections to one server, with checks of the server's address and TLS, and limits of size and time."""

from __future__ import annotations

import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import field
from typing import TYPE_CHECKING, Any, Self

from yarl import URL

from streamer.clock import Clock
from streamer.errors import RetryLater
from streamer.events import FailureClass, Hold
from streamer.events.event import value_of_every_event
from streamer.later import Later
from streamer.web.addresses import AddressRefused, AddressRule, is_address
from streamer.web.proxy import Proxy, ProxyFailed, proxy_for, send
from streamer.web.reasons import system_reason
from subscribers.holds import RECHECK_S
from subscribers.http.answer import READ_BYTES, Answer
from subscribers.http.redaction import Redaction
from subscribers.http.sent_request import SentRequest
from subscribers.http.settings import HttpSettings
from subscribers.http.tls import TargetTls

if TYPE_CHECKING:
    import aiohttp
    from aiohttp.abc import AbstractResolver
else:
    aiohttp = Later("aiohttp")

HEADERS: Mapping[str, str] = {
    "User-Agent": "streamer",
    "Accept": "application/json",
    "Accept-Encoding": "identity",
}
"""Headers of every request; a request can override them."""


class Unreached(RetryLater):
    """The server gave no complete answer, so it is uncertain whether the request took effect.

    `failure` says whether the server was too slow or could not be reached.
    """

    def __init__(self, message: str, *, failure: FailureClass = FailureClass.CONNECTION) -> None:
        super().__init__(message)
        self.failure = failure


@value_of_every_event
class Exchange:
    """One request; the repr of a request shows neither the URL, the headers nor the content.

    `sent` describes the request in outcomes.
    """

    method: str
    url: URL = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)
    redaction: Redaction
    sent: SentRequest | None = None


class ForbiddenAddress(RetryLater):
    """The settings do not allow a connection to the server's address; nothing was sent.

    The message says which setting allows the address.
    """

    @property
    def outcome(self) -> Hold:
        """Hold of the whole target, because no event can be delivered until an operator acts."""
        return Hold(reason=str(self), after_s=RECHECK_S, alert=True, failure=FailureClass.CONNECTION)


class ConnectionPool:
    """Pool of connections to one target; `open` must be called before the first exchange.

    Connections are made only to addresses that `settings` allow. `resolver` resolves
    names; the default is the system's resolver. A proxy resolves the names of servers.
    So if there is a proxy, only an address that is written in the URL is checked.
    """

    def __init__(
        self, settings: HttpSettings, clock: Clock, *, resolver: AbstractResolver | None = None
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._rule = settings.address_rule
        self._resolver = resolver
        self._tls = TargetTls(settings.ca_file, settings.client_certificate, clock)
        self._direct: aiohttp.ClientSession | None = None
        self._proxied: aiohttp.ClientSession | None = None
        # A target and its token endpoint can have different hosts.
        self._proxies: dict[tuple[str, str | None], Proxy | None] = {}
        self._opened = AsyncExitStack()

    async def open(self) -> Self:
        """Open the sessions.

        Raises `ConfigurationError` when a certificate file can't be used.
        """
        # The class derives from aiohttp's resolver, so its import loads aiohttp.
        from streamer.web.resolver import GuardedResolver  # noqa: PLC0415 - see `streamer.later`

        await self._tls.check()
        resolver = self._resolver or aiohttp.DefaultResolver()
        self._opened.push_async_callback(resolver.close)
        self._direct = await self._session(
            # Dispatch limits the deliveries in flight. A second limit here would only let some
            # of them time out in a queue.
            aiohttp.TCPConnector(
                limit=0,
                resolver=GuardedResolver(resolver, self._rule),
                socket_factory=self._rule.socket,
            )
        )
        # A proxy is usually in the operator's own network, so its address is not checked.
        self._proxied = await self._session(aiohttp.TCPConnector(limit=0))
        return self

    async def close(self) -> None:
        """Close the sessions."""
        await self._opened.aclose()

    async def exchange(self, exchange: Exchange) -> Answer:
        """Send once, and return the answer, whatever its status; redirects are not followed.

        Raises `Unreached` and `ForbiddenAddress`, whose messages contain no secret.
        """
        proxy = self._proxy_to(exchange.url)
        if proxy is not None:
            _check_literal(exchange.url, self._rule)
        try:
            async with (
                self._clock.timeout(self._settings.timeout_s),
                await self._sent(exchange, proxy) as response,
            ):
                return await _read(response, exchange)
        except ProxyFailed as exc:
            raise Unreached(str(exc)) from exc
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            if isinstance(exc, aiohttp.ClientConnectorError) and isinstance(exc.os_error, AddressRefused):
                raise ForbiddenAddress(str(exc.os_error)) from exc
            failure = FailureClass.TIMEOUT if isinstance(exc, TimeoutError) else FailureClass.CONNECTION
            raise Unreached(self._reason(exchange.url, exc), failure=failure) from exc

    async def _session(self, connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
        return await self._opened.enter_async_context(
            aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=HEADERS,
                timeout=aiohttp.ClientTimeout(total=None),
            )
        )

    def _proxy_to(self, url: URL) -> Proxy | None:
        server = url.scheme, url.host
        if server not in self._proxies:
            self._proxies[server] = proxy_for(url)
        return self._proxies[server]

    async def _sent(self, exchange: Exchange, proxy: Proxy | None) -> aiohttp.ClientResponse:
        session = self._direct if proxy is None else self._proxied
        if session is None:
            raise RuntimeError("the connection is not open")
        url, method = exchange.url, exchange.method
        options: dict[str, Any] = {
            "headers": exchange.headers,
            # For empty content, aiohttp would add a content type.
            "data": exchange.content or None,
            "ssl": await self._tls.context() if url.scheme == "https" else True,
        }
        if proxy is None:
            return await session.request(method, url, allow_redirects=False, **options)
        return await send(session, method, url, proxy=proxy, **options)

    def _reason(self, url: URL, exc: Exception) -> str:
        # Messages of aiohttp can repeat the URL or a header, so only safe parts of them are used.
        where = f"{url.host}:{url.port}"
        match exc:
            case aiohttp.ClientConnectorCertificateError():
                return f"the certificate of {where} is not trusted ({exc.certificate_error}): check ca_file"
            case aiohttp.ClientConnectorDNSError():
                return f"the name {url.host} can't be resolved"
            case aiohttp.ClientConnectorError():
                return f"can't connect to {where}: {system_reason(exc.os_error)}"
            case TimeoutError():
                return f"{where} gave no answer within {self._settings.timeout_s:g} s"
            case aiohttp.ServerDisconnectedError():
                return f"{where} closed the connection without an answer"
            case _:
                return f"the answer of {where} was incomplete or not HTTP ({type(exc).__name__})"


async def _read(response: aiohttp.ClientResponse, exchange: Exchange) -> Answer:
    content = response.content
    body = bytearray(await content.readany())
    while not content.at_eof():
        if len(body) > READ_BYTES:
            response.close()
            break
        body += await content.readany()
    # Most targets send an empty answer, which contains no secret.
    redacted = exchange.redaction(_utf_8(bytes(body))) if body else b""
    return Answer(
        status=response.status,
        body=redacted[:READ_BYTES],
        retry_after=response.headers.get("Retry-After"),
        is_cut=max(len(body), len(redacted)) > READ_BYTES,
        headers=response.headers,
        sent=exchange.sent,
    )


def _check_literal(url: URL, rule: AddressRule) -> None:
    host = url.host or ""
    if is_address(host) and (refusal := rule.refusal(host)) is not None:
        raise ForbiddenAddress(f"{host} is {refusal}")


def _utf_8(body: bytes) -> bytes:
    """Return `body`; a body in UTF-16 is converted to UTF-8, in which secrets can be found."""
    first = body[:2]
    if first in {BOM_UTF16_LE, BOM_UTF16_BE}:
        encoding = "utf-16"
    elif first.count(0) == 1:
        encoding = "utf-16-be" if first[0] == 0 else "utf-16-le"
    else:
        return body
    text = body.decode(encoding, errors="ignore").removeprefix("\ufeff")
    # The XML declaration would name the wrong encoding.
    return re.sub(r"\A<\?xml[^>]*\?>", "", text).encode(errors="ignore")
