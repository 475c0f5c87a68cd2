"""A log in Kafka with events, and the programs that deliver these events."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from streamer.clock import SystemClock
from streamer.events import Event
from streamer.log.kafka.log import KafkaLog
from streamer.settings import KafkaLogSettings
from tests.bench.events import a_change, append, record_id
from tests.bench.processes import running
from tests.configuration import sandbox_configuration, written
from tests.daemon import Daemon

_AT_ONCE = 2_000


@dataclass(slots=True, kw_only=True)
class FilledLog:
    """Events of `keys` records in turn, about 1 KB each; `events` is how many there are.

    `event` makes them of their number and their record.
    """

    kafka: str
    name: str
    keys: int
    event: Callable[[int, str], Event] = a_change
    events: int = 0
    _readers: int = 0

    @property
    def topic(self) -> str:
        """The topic that holds the events."""
        return _template(self.name).format(kind="cdc", name="Account")

    def reader(self) -> str:
        """Return another prefix or group, which has read nothing yet."""
        self._readers += 1
        return f"{self.name}-reader{self._readers}"

    @asynccontextmanager
    async def open(self) -> AsyncIterator[KafkaLog]:
        """Keep it open for appending inside the context."""
        settings = KafkaLogSettings(
            bootstrap_servers=self.kafka, prefix=self.name, topic=_template(self.name)
        )
        async with KafkaLog.open(settings, SystemClock()) as log:
            yield log

    async def fill(self, log: KafkaLog, events: int) -> None:
        """Append so many events."""
        for begin in range(0, events, _AT_ONCE):
            await self._append(log, min(_AT_ONCE, events - begin))

    async def stream(self, log: KafkaLog, events: int, per_second: float) -> dict[str, float]:
        """Append one after the other, at a steady rate; return when each was readable (epoch seconds)."""
        readable: dict[str, float] = {}
        began = time.monotonic()
        for number in range(events):
            await asyncio.sleep(began + number / per_second - time.monotonic())
            [event] = await self._append(log, 1)
            readable[event.id] = time.time()
        return readable

    async def _append(self, log: KafkaLog, count: int) -> Sequence[Event]:
        events = [
            self.event(number, record_id(number, self.keys))
            for number in range(self.events, self.events + count)
        ]
        self.events += count
        await append(log, events)
        return events


Deliverer = Callable[[FilledLog, str], AbstractAsyncContextManager[int]]
"""Delivers a log from its beginning to a URL inside the context, and gives the id of the process."""


def daemon(log: FilledLog, url: str) -> AbstractAsyncContextManager[Daemon]:
    """Deliver by Streamer, at default settings."""
    shipment = {
        "uses": "fulfillment",
        "on": "salesforce.*",
        "start": "earliest",
        "settings": {"url": url, "order": "id"},
    }
    # Nobody asks Salesforce for anything.
    return dispatching(log, {"target": shipment}, org_url="http://localhost:9")


@asynccontextmanager
async def dispatching(
    log: FilledLog, subscribers: Mapping[str, Any], *, org_url: str
) -> AsyncIterator[Daemon]:
    """Deliver to `subscribers` by Streamer, which reads the records of the org at `org_url`."""
    kafka = {"bootstrap_servers": log.kafka, "prefix": log.reader(), "topic": _template(log.name)}
    configuration = sandbox_configuration(org_url, log={"kafka": kafka}, subscribers=dict(subscribers))
    with TemporaryDirectory(prefix="streamer-bench-") as directory:
        config = written(Path(directory), configuration)
        async with Daemon.running(config, "--role", "dispatch") as process:
            yield process


@asynccontextmanager
async def streamer(log: FilledLog, url: str) -> AsyncIterator[int]:
    """Deliver by Streamer, and stop it in good order; gives its process id."""
    async with daemon(log, url) as process:
        yield process.pid
        assert await process.stop() == 0, process.output


def plain_script(log: FilledLog, url: str) -> AbstractAsyncContextManager[int]:
    """Deliver by the plain script; gives its process id."""
    return running("tests.bench.deliveries.plain_script", log.kafka, log.topic, log.reader(), url)


def _template(name: str) -> str:
    return f"{name}.{{kind}}.{{name}}"
