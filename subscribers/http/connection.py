"""Connection to one server: verified by TLS, bounded in size and time."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import aiohttp
from yarl import URL

from streamer.clock import Clock
from streamer.errors import ConfigurationError, RetryLater
from streamer.events import FailureClass
from streamer.web.proxy import ProxyFailed, proxy_for, send
from subscribers.http.answer import READ_BYTES, Answer
from subscribers.http.redaction import Redaction
from subscribers.http.settings import ClientCertificate, HttpSettings

HEADERS: Mapping[str, str] = {
    "User-Agent": "streamer",
    "Accept": "application/json",
    "Accept-Encoding": "identity",
}
"""Headers of every request, which those of a request override."""


class Unreached(RetryLater):
    """The server gave no answer, or only a part of one: it is uncertain whether it has acted.

    `failure` says whether it was too slow, or could not be reached.
    """

    def __init__(self, message: str, *, failure: FailureClass = FailureClass.CONNECTION) -> None:
        super().__init__(message)
        self.failure = failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """Content of one request; its repr shows neither URL, headers nor content."""

    method: str
    url: URL = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)
    redaction: Redaction


class Connection:
    """Pool of connections to one target; closed until `open`."""

    def __init__(self, settings: HttpSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> Self:
        """Open the session.

        Raises `ConfigurationError` when a certificate file can't be used.
        """
        # Dispatch bounds the deliveries in flight; a second bound here would
        # only let some of them time out in a queue.
        connector = aiohttp.TCPConnector(ssl=_tls(self._settings), limit=0)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=HEADERS,
            timeout=aiohttp.ClientTimeout(total=None),
        )
        return self

    async def close(self) -> None:
        """Close the session."""
        if self._session is not None:
            await self._session.close()

    async def exchange(self, exchange: Exchange) -> Answer:
        """Send once, and return the answer of any status; redirects are not followed.

        Raises `Unreached`, whose message holds no secret.
        """
        if self._session is None:
            raise RuntimeError("the connection is not open")
        try:
            async with (
                self._clock.timeout(self._settings.timeout_s),
                await send(
                    self._session,
                    exchange.method,
                    exchange.url,
                    proxy=proxy_for(exchange.url),
                    headers=exchange.headers,
                    # Of empty content, aiohttp would name a type.
                    data=exchange.content or None,
                ) as response,
            ):
                return await _read(response, exchange.redaction)
        except ProxyFailed as exc:
            raise Unreached(str(exc)) from exc
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            failure = FailureClass.TIMEOUT if isinstance(exc, TimeoutError) else FailureClass.CONNECTION
            raise Unreached(self._reason(exchange.url, exc), failure=failure) from exc

    def _reason(self, url: URL, exc: Exception) -> str:
        # Foreign messages can repeat the URL or a header, so only parts of
        # them without these are used.
        where = f"{url.host}:{url.port}"
        match exc:
            case aiohttp.ClientConnectorCertificateError():
                return f"the certificate of {where} is not trusted ({exc.certificate_error}): check ca_file"
            case aiohttp.ClientConnectorDNSError():
                return f"the name {url.host} can't be resolved"
            case aiohttp.ClientConnectorError():
                return f"can't connect to {where}: {exc.os_error.strerror or type(exc.os_error).__name__}"
            case TimeoutError():
                return f"{where} gave no answer within {self._settings.timeout_s:g} s"
            case aiohttp.ServerDisconnectedError():
                return f"{where} closed the connection without an answer"
            case _:
                return f"the answer of {where} broke off or was not HTTP ({type(exc).__name__})"


async def _read(response: aiohttp.ClientResponse, redaction: Redaction) -> Answer:
    content = response.content
    body = await content.readany()
    while not content.at_eof():
        if len(body) > READ_BYTES:
            response.close()
            break
        body += await content.readany()
    return Answer(
        status=response.status,
        body=redaction(body)[:READ_BYTES],
        retry_after=response.headers.get("Retry-After"),
    )


def _tls(settings: HttpSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except OSError as exc:
        raise ConfigurationError(f"ca_file {settings.ca_file} can't be read as PEM: {exc.strerror}") from exc
    if settings.client_certificate:
        _present(settings.client_certificate, context)
    return context


def _present(certificate: ClientCertificate, context: ssl.SSLContext) -> None:
    secret = certificate.key_password
    # Without a password, OpenSSL would ask for one on the terminal.
    password = secret.get_secret_value() if secret else ""
    try:
        context.load_cert_chain(certificate.certificate_file, certificate.key_file, password)
    except (OSError, ValueError) as exc:
        raise ConfigurationError(
            f"client_certificate {certificate.certificate_file} can't be used with its key: "
            f"check both files and key_password ({type(exc).__name__})"
        ) from exc
