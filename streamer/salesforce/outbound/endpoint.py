"""HTTPS endpoint to which Salesforce sends outbound messages (SOAP API guide, outbound messaging).

An envelope is acknowledged when the log holds all its notifications. For 24 hours,
Salesforce repeats an envelope that is not acknowledged.
"""

import asyncio
import hmac
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from aiohttp import web

from streamer.clock import Clock
from streamer.events import Unreadable, short_id
from streamer.salesforce.outbound.envelope import (
    EndpointOutcome,
    MalformedEnvelope,
    NotificationsEnvelope,
    acknowledgement,
    fault,
    masked_envelope,
    parse_envelope,
)
from streamer.salesforce.outbound.source import Arrival, NotTaken, OutboundSource
from streamer.settings import OUTBOUND_ROOT, OutboundMessageSettings, OutboundSettings
from streamer.web.listener import listening
from streamer.web.tls import TlsFiles

_log = structlog.get_logger()

_SECTION = "outbound"
_MESSAGE_PATH = OUTBOUND_ROOT + "{name}"
_LOG_EVERY_S = 60.0
_PARSED_IN_THREAD_FROM = 64 * 1024
_PARSED_AT_ONCE = 4
# Bodies can arrive slowly and side by side, so their total size is bounded.
_MOST_HELD_BYTES = 64 * 1024 * 1024
_TRY_AGAIN = "Streamer did not accept the envelope: send the envelope again."


class EndpointObserver(Protocol):
    """Counts answers; must not block or raise."""

    def expect(self, path: str, outcomes: Iterable[str]) -> None:
        """From now on, requests for the channel `path` can have these outcomes."""
        ...

    def answered(self, path: str, outcome: str) -> None:
        """A request for the channel `path` was answered; `outcome` is one of a few stable words."""
        ...


class _Refusal(Exception):
    """Answer without an acknowledgement: `reason` goes into the log, `sentence` to Salesforce."""

    def __init__(self, outcome: EndpointOutcome, status: int, sentence: str, *, reason: str = "") -> None:
        super().__init__(sentence)
        self.outcome = outcome
        self.status = status
        self.sentence = sentence
        self.reason = reason


@dataclass(slots=True, kw_only=True)
class Endpoint:
    """Hands notifications from Salesforce to `source`, and answers with the outcome.

    No log line and no answer contains a secret, a session id or a record.
    """

    settings: OutboundSettings
    source: OutboundSource
    clock: Clock
    observer: EndpointObserver
    _parsing: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(_PARSED_AT_ONCE), init=False
    )
    _held_bytes: int = field(default=0, init=False)
    _logged_at: dict[tuple[str, EndpointOutcome], float] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        for path in self.settings.paths:
            self.observer.expect(path, EndpointOutcome)

    def application(self) -> web.Application:
        """Return the HTTP application."""
        app = web.Application()
        app.add_routes(
            [
                web.post(_MESSAGE_PATH, self._receive),
                web.post(_MESSAGE_PATH + "/{secret}", self._receive),
                web.get(_MESSAGE_PATH, self._tell_owned),
            ]
        )
        return app

    async def _tell_owned(self, request: web.Request) -> web.Response:
        """Answer 204 in the process that reads the channel, so that a load balancer finds that process."""
        is_owned = OUTBOUND_ROOT + request.match_info["name"] in self.source.subscribed
        return web.Response(status=204 if is_owned else 503, headers={"Cache-Control": "no-store"})

    async def _receive(self, request: web.Request) -> web.Response:
        # An unknown name must not appear in a label or a log line.
        name = request.match_info["name"]
        message = self.settings.messages.get(name)
        path = OUTBOUND_ROOT + name if message is not None else ""
        try:
            self._check_sender(request, message)
            outcome = await self._taken(request, path, is_known=self._is_known(message))
        except _Refusal as refusal:
            self._tell(path, refusal)
            self.observer.answered(path, refusal.outcome)
            return fault(refusal.status, refusal.sentence)
        except Exception as error:  # noqa: BLE001 - whatever failed, Salesforce sends it again
            _log.exception("outbound.failed", channel=path, error=type(error).__name__)
            self.observer.answered(path, EndpointOutcome.FAILED)
            return fault(500, _TRY_AGAIN)
        self.observer.answered(path, outcome)
        return acknowledgement()

    async def _taken(self, request: web.Request, path: str, *, is_known: bool) -> EndpointOutcome:
        """Return the outcome when the log holds the request's notifications."""
        org = self.source.organization(path)
        if org is None:
            raise _Refusal(EndpointOutcome.NOT_OWNED, 503, _TRY_AGAIN)
        async with self._body(request) as body, self._parsing:
            arrival = await self._arrival(body, org, is_known=is_known)
        try:
            await self.source.deliver(path, arrival)
        except NotTaken as error:
            raise _Refusal(EndpointOutcome.UNAVAILABLE, 503, _TRY_AGAIN, reason=str(error)) from None
        return EndpointOutcome.ACKNOWLEDGED if arrival.messages else EndpointOutcome.SET_ASIDE

    @asynccontextmanager
    async def _body(self, request: web.Request) -> AsyncIterator[bytes]:
        """Yield the whole body.

        Until the context ends, the bytes of the body count towards the limit for
        all bodies.
        """
        body, most = bytearray(), self.settings.max_body_bytes
        try:
            while chunk := await self._chunk(request):
                body += chunk
                self._held_bytes += len(chunk)
                if len(body) > most:
                    reason = f"the envelope is larger than {most} bytes: raise outbound.max_body_bytes"
                    raise _Refusal(
                        EndpointOutcome.TOO_LARGE, 413, "The envelope is too large.", reason=reason
                    )
                if self._held_bytes > _MOST_HELD_BYTES:
                    reason = "the envelopes that are arriving have too many bytes together"
                    raise _Refusal(EndpointOutcome.UNAVAILABLE, 503, _TRY_AGAIN, reason=reason)
            yield bytes(body)
        finally:
            self._held_bytes -= len(body)

    async def _chunk(self, request: web.Request) -> bytes:
        try:
            return await request.content.readany()
        except (web.RequestPayloadError, ConnectionError):
            raise _Refusal(EndpointOutcome.BROKEN_OFF, 400, "The body does not match the headers.") from None

    async def _arrival(self, body: bytes, org: str, *, is_known: bool) -> Arrival:
        try:
            if len(body) < _PARSED_IN_THREAD_FROM:
                envelope = parse_envelope(body)
            else:
                envelope = await asyncio.to_thread(parse_envelope, body)
        except MalformedEnvelope as error:
            if not is_known:
                sentence = "The envelope can't be read."
                raise _Refusal(EndpointOutcome.UNREADABLE, 400, sentence, reason=str(error)) from None
            piece = Unreadable(raw=masked_envelope(body), error=f"Not an outbound message: {error}")
            return Arrival(unreadable=[piece], size=len(body))
        _check_organization(envelope, org)
        received = {"received_ms": round(self.clock.now() * 1000)}
        return Arrival(messages=[{**each, **received} for each in envelope.messages], size=len(body))

    def _check_sender(self, request: web.Request, message: OutboundMessageSettings | None) -> None:
        secret = message.secret.get_secret_value() if message and message.secret else ""
        given = request.match_info.get("secret", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, secret.encode()) or message is None:
            # An unknown name and a wrong secret get the same answer.
            raise _Refusal(EndpointOutcome.UNKNOWN_ADDRESS, 404, "No channel has this address.")
        tls = self.settings.tls
        if tls is not None and tls.client_subject is not None and tls.client_subject not in _names(request):
            raise _Refusal(
                EndpointOutcome.REFUSED_CLIENT,
                403,
                "The client certificate belongs to another client.",
                reason=(
                    "the client's certificate does not have the name that "
                    "outbound.tls.client_subject requires"
                ),
            )

    def _is_known(self, message: OutboundMessageSettings | None) -> bool:
        """Return true if a secret or a certificate proves that the sender is Salesforce."""
        tls = self.settings.tls
        return bool((message and message.secret) or (tls and tls.client_ca_file))

    def _tell(self, path: str, refusal: _Refusal) -> None:
        """Log a refusal that an operator can fix, at most once a minute for each channel and outcome."""
        now = self.clock.monotonic()
        key = (path, refusal.outcome)
        if refusal.reason and now - self._logged_at.get(key, -_LOG_EVERY_S) >= _LOG_EVERY_S:
            self._logged_at[key] = now
            tell = _log.warning if refusal.outcome is EndpointOutcome.UNAVAILABLE else _log.error
            tell("outbound.refused", channel=path, outcome=refusal.outcome, reason=refusal.reason)


def tls_files(settings: OutboundSettings) -> TlsFiles | None:
    """Return the files of the endpoint's certificate, or `None` without TLS."""
    if settings.tls is None:
        return None
    return TlsFiles(
        section=f"{_SECTION}.tls",
        certificate_file=settings.tls.certificate_file,
        key_file=settings.tls.key_file,
        client_ca_file=settings.tls.client_ca_file,
    )


@asynccontextmanager
async def serving_outbound(endpoint: Endpoint) -> AsyncIterator[int]:
    """Serve `endpoint` while the context is open, and yield the port.

    Raises `ConfigurationError` if the address or a certificate can't be used.
    """
    settings = endpoint.settings
    listener = listening(
        endpoint.application(),
        host=settings.host,
        port=settings.port,
        section=_SECTION,
        tls=tls_files(settings),
        probes=[_MESSAGE_PATH],
    )
    async with listener as port:
        _log.info("outbound.listening", host=settings.host, port=port, tls=settings.tls is not None)
        yield port


def _check_organization(envelope: NotificationsEnvelope, org: str) -> None:
    if short_id(envelope.organization_id) != short_id(org):
        raise _Refusal(
            EndpointOutcome.WRONG_ORGANIZATION,
            403,
            "The envelope comes from another organisation.",
            reason=(
                "the envelope comes from an organisation that is not the org of org.auth: check the "
                "org's outbound message"
            ),
        )


def _names(request: web.Request) -> frozenset[str]:
    """Return the common names and DNS names of the client's certificate."""
    certificate = request.get_extra_info("peercert") or {}
    common = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
    alternative = [value for key, value in certificate.get("subjectAltName", ()) if key == "DNS"]
    return frozenset([*common, *alternative])
