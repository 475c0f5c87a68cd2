"""An endpoint for outbound messages in front of a log, and envelopes for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp
from pydantic import SecretStr

from streamer.clock import Clock, SystemClock
from streamer.events import Channel, OrgId
from streamer.ingest.channel_supervisor import ChannelSupervisor
from streamer.ingest.positions import Positioning
from streamer.ingest.reading import MessageReader
from streamer.ingest.reading.quarantine import Quarantine
from streamer.ingest.relay import ChannelLog, Ingest
from streamer.normalise import normaliser_for
from streamer.observe.metrics import Metrics
from streamer.ports import EventLog, Ownership
from streamer.salesforce.outbound.endpoint import Endpoint, serving_outbound
from streamer.salesforce.outbound.recent import NotificationLog
from streamer.salesforce.outbound.source import OutboundSource
from streamer.settings import OutboundMessageSettings, OutboundSettings
from tests.waiting import until

ORG = OrgId("00D000000000001AAA")
SECRET = "a-secret-of-enough-letters"
LEADS = Channel(org=ORG, path="/outbound/leads")
PATH = f"/outbound/leads/{SECRET}"
MESSAGES = {"leads": OutboundMessageSettings(secret=SecretStr(SECRET))}

_SOAP = (
    '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>'
    '<notifications xmlns="http://soap.sforce.com/2005/09/outbound">{}</notifications>'
    "</soapenv:Body></soapenv:Envelope>"
)


def notification_id(number: int) -> str:
    """Return the id of a notification."""
    return f"04l{number:012d}AAA"


def notification(number: int, *, fields: str = "<sf:Status>Open</sf:Status>") -> str:
    """Return a notification about a lead."""
    return (
        f"<Notification><Id>{notification_id(number)}</Id>"
        '<sObject xsi:type="sf:Lead" xmlns:sf="urn:sobject.enterprise.soap.sforce.com">'
        f"<sf:Id>00Q{number:012d}AAA</sf:Id>{fields}</sObject></Notification>"
    )


def envelope(*notifications: str, org: str = ORG, session: str = "") -> bytes:
    """Return an envelope."""
    head = (
        f"<OrganizationId>{org}</OrganizationId><ActionId>04k000000000001AAA</ActionId>"
        f"<SessionId>{session}</SessionId><EnterpriseUrl>https://acme.example/c</EnterpriseUrl>"
    )
    return _SOAP.format(head + "".join(notifications)).encode()


@dataclass
class Receiver:
    """An endpoint that serves, and its metrics."""

    port: int
    metrics: Metrics
    source: OutboundSource
    scheme: str = "http"
    http: aiohttp.ClientSession = field(default_factory=aiohttp.ClientSession)

    async def post(self, body: bytes, path: str = PATH, **options: Any) -> tuple[int, str]:
        """Send an envelope; return the status and the answer."""
        url = f"{self.scheme}://localhost:{self.port}{path}"
        async with self.http.post(url, data=body, **options) as response:
            return response.status, await response.text()

    def count(self, outcome: str, channel: str = LEADS.path) -> float:
        """Return how many requests had this outcome."""
        labels = {"channel": channel, "outcome": outcome}
        return self.metrics.registry.get_sample_value("streamer_outbound_requests_total", labels) or 0.0


class Log(EventLog, Ownership, Protocol):
    """The log that the receiver writes to."""


@asynccontextmanager
async def receiving(
    log: Log, *, clock: Clock | None = None, settings: OutboundSettings | None = None
) -> AsyncIterator[Receiver]:
    """Receive outbound messages into `log` inside the context, as a daemon does."""
    clock = clock or SystemClock()
    settings = settings or OutboundSettings(host="localhost", port=0, messages=MESSAGES)
    metrics = Metrics(clock=clock)
    source = OutboundSource(clock, metrics.outbound)

    def ingest(channel: Channel) -> Ingest:
        return Ingest(
            source=source,
            log=ChannelLog(
                channel=channel,
                log=NotificationLog(log=log, recent=source.recent(channel), clock=clock),
                clock=clock,
                observer=metrics.channel(channel),
            ),
            messages=MessageReader(
                channel=channel, normalise=normaliser_for(channel), quarantine=Quarantine(clock=clock)
            ),
            positioning=Positioning(channel=channel, clock=clock),
        )

    channels = [Channel(org=ORG, path=path) for path in settings.paths]
    supervisor = ChannelSupervisor(ownership=log, channels=channels, ingest=ingest, clock=clock)
    endpoint = Endpoint(settings=settings, source=source, clock=clock, observer=metrics.outbound)
    async with serving_outbound(endpoint) as port, _run(supervisor, source):
        receiver = Receiver(port, metrics, source, "https" if settings.tls else "http")
        try:
            yield receiver
        finally:
            await receiver.http.close()


@asynccontextmanager
async def _run(supervisor: ChannelSupervisor, source: OutboundSource) -> AsyncIterator[None]:
    async def is_read() -> bool:
        return bool(source.subscribed)

    running = asyncio.create_task(supervisor.run())
    try:
        await until(is_read)
        yield
    finally:
        running.cancel()
        await asyncio.wait([running])
