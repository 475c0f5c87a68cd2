"""A daemon in a group that a stranger has joined, so that no process reads its channels.

The fault is mended as docs/alerts.md says: the stranger is ended.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from confluent_kafka import Consumer

from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from streamer.supervision.endpoint import FRESH_S
from tests.acceptance.kept import KeptInKafka
from tests.configuration import CHANGES, sandbox_configuration
from tests.integration.monitoring.observed import Observed
from tests.integration.monitoring.stretching import Phase
from tests.outbound import PATH, SECRET, envelope, notification
from tests.waiting import until

ALERTS = frozenset({"StreamerChannelUnowned", "StreamerOutboundMisrouted"})

_LEADS = "/outbound/leads"


async def phases(kafka: str, folder: Path) -> list[Phase]:
    """Live through the time before the stranger, that with it, and that after it."""
    async with Sandbox(SystemClock()) as sandbox:
        log = KeptInKafka(kafka).configuration
        log["kafka"] |= {"checkpoint_partitions": 1}
        configuration = sandbox_configuration(sandbox.url, log=log)
        configuration["channels"] = configuration["channels"][:1]
        messages = {"leads": {"secret": SECRET}}
        configuration["outbound"] = {"host": "localhost", "port": 0, "messages": messages}
        async with Observed(folder, configuration) as observed:
            await observed.start()
            await _send(observed, sandbox, 1)
            before = await observed.looks()
            await observed.stop()
            async with _stranger(kafka, log["kafka"]["prefix"]):
                await observed.start(ready=False)
                await observed.shows(lambda look: look.value("streamer_channel_owned", channel=CHANGES) == 0)
                await _send(observed, sandbox, 2)
                first = await observed.look()
                await _send(observed, sandbox, 2)
                unowned = first, await observed.look()
            await observed.daemon.ready()
            await _send(observed, sandbox, 2)
            after = await observed.looks()
    return [
        Phase(name="before", began=before[0], ended=before[1], minutes=10),
        Phase(name="a stranger", began=unowned[0], ended=unowned[1], alerts=ALERTS),
        Phase(name="after", began=after[0], ended=after[1]),
    ]


async def _send(observed: Observed, sandbox: Sandbox, number: int) -> None:
    """Send an outbound message, which the daemon acknowledges if it owns the channel."""
    [listening] = observed.daemon.logged("outbound.listening")
    body = envelope(notification(number), org=sandbox.org.settings.org_id)
    async with aiohttp.ClientSession() as http:
        await http.post(f"http://localhost:{listening['port']}{PATH}", data=body)
    # A page of metrics serves for a second, and the next one is to show the request.
    await asyncio.sleep(FRESH_S)


@asynccontextmanager
async def _stranger(kafka: str, prefix: str) -> AsyncIterator[None]:
    """Hold the only partition of the checkpoints, and let nobody have it."""
    consumer = Consumer(
        {
            "bootstrap.servers": kafka,
            "group.id": f"{prefix}.ingest",
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": 6_000,
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([f"{prefix}.checkpoints"])
    polling = asyncio.create_task(_poll(consumer))
    try:
        await until(lambda: _has_partitions(consumer))
        yield
    finally:
        polling.cancel()
        await asyncio.gather(polling, return_exceptions=True)
        await asyncio.to_thread(consumer.close)


async def _poll(consumer: Consumer) -> None:
    while True:
        await asyncio.to_thread(consumer.poll, 0.1)


async def _has_partitions(consumer: Consumer) -> bool:
    return bool(consumer.assignment())
