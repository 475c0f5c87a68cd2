"""How fast events reach a target over HTTP, for few keys and many, and what a backlog takes."""

import asyncio
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from streamer.clock import SystemClock
from streamer.demo.tally import percentile
from streamer.events import Checkpoint, Event
from streamer.log.kafka import KafkaLog
from streamer.settings import KafkaLogSettings
from tests.bench.deliveries.events import CHANNEL, a_change, record_id
from tests.bench.deliveries.http_target import RunningTarget, target_process
from tests.bench.deliveries.results import Backlog, Delivering, DeliveryResults, FailingKey
from tests.bench.usage import resident_mb
from tests.configuration import sandbox_configuration, written
from tests.contracts.values import Append, append_to
from tests.daemon import Daemon, until

_AT_ONCE = 2_000
_FAILING_AMONG = 1_000
_DEADLINE_S = 600.0
_LOOK_S = 0.05

Progress = Callable[[int], object]
"""Is told how many events have passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliveries:
    """How much is delivered: events by the number of their keys, the stream behind them, and the rest.

    One of 1,000 keys is to fail, `times` in turn with none, so these are among
    the numbers.
    """

    events: dict[int, int]
    stream: int
    per_second: float
    plain: int
    times: int
    behind: int
    looked_s: float

    @property
    def total(self) -> int:
        """How many events there are altogether, for a progress bar."""
        streams = self.stream * len(self.events)
        failing = 2 * self.times * self.events[_FAILING_AMONG]
        return sum(self.events.values()) + streams + self.plain + failing + self.behind


async def deliveries_of(kafka: str, size: Deliveries, progress: Progress) -> DeliveryResults:
    """Measure everything; `progress` is told of events as they pass."""
    async with target_process() as target:
        bench = DeliveryBench(kafka=kafka, target=target, progress=progress)
        delivering = [await bench.delivering(keys, events, size) for keys, events in size.events.items()]
        plain = await bench.plain(size.plain)
        return DeliveryResults(
            delivering=delivering,
            plain_per_s=plain,
            failing=await bench.failing_key(size.events[_FAILING_AMONG], size.times),
            backlog=await bench.backlog(size.behind, size.looked_s),
        )


@dataclass(slots=True, kw_only=True)
class DeliveryBench:
    """Measures on one broker and one target; each measurement has topics and a daemon of its own."""

    kafka: str
    target: RunningTarget
    progress: Progress
    _unique: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    _runs: int = 0

    async def delivering(self, keys: int, events: int, size: Deliveries) -> Delivering:
        """Deliver a backlog of `events` of so many keys, and then a stream."""
        await self.target.answers()
        async with self._filled(keys, events) as filled, filled.daemon(self.target) as daemon:
            await self._taken(events)
            before = await self.target.journal()
            appended = await filled.stream(size.stream, size.per_second)
            await self._taken(events + size.stream)
            journal = await self.target.journal()
            assert await daemon.stop() == 0
        latencies_ms = [(at - appended[name]) * 1000 for name, at in journal if name in appended]
        return Delivering(
            keys=keys,
            backlog=events,
            per_s=_per_s(before),
            repeated=len(journal) - len(dict(journal)),
            out_of_order=_out_of_order(journal),
            stream_per_s=size.per_second,
            p50_ms=percentile(latencies_ms, 0.5),
            p99_ms=percentile(latencies_ms, 0.99),
        )

    async def plain(self, events: int) -> float:
        """Return how many a second the plain script delivers."""
        await self.target.answers()
        async with self._filled(events, events) as filled:
            script = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.bench.deliveries.plain_script",
                self.kafka, filled.topic, self.target.url, str(events),
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            answer, errors = await asyncio.wait_for(script.communicate(), _DEADLINE_S)
        if script.returncode:
            raise RuntimeError(errors.decode())
        self.progress(events)
        return float(orjson.loads(answer))

    async def failing_key(self, events: int, times: int) -> FailingKey:
        """Compare a target that fails one key with one that fails none, in turn."""
        nobody, somebody = [], []
        for _ in range(times):
            nobody.append(await self._delivered(events, refused_key=""))
            somebody.append(await self._delivered(events, refused_key=record_id(0, _FAILING_AMONG)))
        return FailingKey(
            keys=_FAILING_AMONG,
            per_s_without=[_per_s(each) for each in nobody],
            per_s_with=[_per_s(each) for each in somebody],
            repeated=sum(len(each) - len(dict(each)) for each in (*nobody, *somebody)),
            out_of_order=sum(map(_out_of_order, (*nobody, *somebody))),
        )

    async def _delivered(self, events: int, *, refused_key: str) -> list[tuple[str, float]]:
        await self.target.answers(refused_key=refused_key)
        async with self._filled(_FAILING_AMONG, events) as filled, filled.daemon(self.target) as daemon:
            await self._taken(events - (events // _FAILING_AMONG if refused_key else 0))
            journal = await self.target.journal()
            assert await daemon.stop() == 0
        return journal

    async def backlog(self, events: int, looked_s: float) -> Backlog:
        """Look for `looked_s` at the memory of a daemon that has `events` before it, and a slow target.

        From when it knows of them: being ready says no more than that it runs.
        """
        await self.target.answers(slow_s=0.5)
        async with self._filled(100_000, events) as filled, filled.daemon(self.target) as daemon:
            await daemon.ready()

            async def behind() -> float:
                return await daemon.metric("streamer_delivery_lag_events")

            await until(behind, within_s=_DEADLINE_S)
            most, end = 0.0, time.monotonic() + looked_s
            while time.monotonic() < end:
                most = max(most, resident_mb(daemon.pid))
                await asyncio.sleep(_LOOK_S)
            left = await behind()
            await daemon.kill()
        self.progress(events)
        return Backlog(events=events, behind=int(left), resident_mb=most)

    @asynccontextmanager
    async def _filled(self, keys: int, events: int) -> AsyncIterator["_Filled"]:
        self._runs += 1
        name = f"deliver{self._unique}-{self._runs}"
        settings = KafkaLogSettings(
            bootstrap_servers=self.kafka, prefix=name, topic=f"{name}.{{kind}}.{{name}}"
        )
        async with KafkaLog.open(settings, SystemClock()) as log:
            filled = _Filled(settings=settings, log=log, keys=keys)
            await filled.fill(events)
            yield filled

    async def _taken(self, events: int) -> None:
        shown = await self.target.count()

        async def has_taken() -> bool:
            nonlocal shown
            now = await self.target.count()
            self.progress(now - shown)
            shown = now
            return now >= events

        await until(has_taken, within_s=_DEADLINE_S, every_s=_LOOK_S)


@dataclass(slots=True, kw_only=True)
class _Filled:
    """A log of our own, with events in it."""

    settings: KafkaLogSettings
    log: KafkaLog
    keys: int
    _next: int = 0

    @property
    def topic(self) -> str:
        """Where the events are."""
        return self.settings.topic.format(kind="cdc", name="Account")

    async def fill(self, events: int) -> None:
        """Append so many events."""
        for begin in range(0, events, _AT_ONCE):
            await self._append(min(_AT_ONCE, events - begin))

    async def stream(self, events: int, per_second: float) -> dict[str, float]:
        """Append one after the other, at a steady rate; return when each was in the log (epoch seconds)."""
        appended: dict[str, float] = {}
        began = time.monotonic()
        for number in range(events):
            await asyncio.sleep(began + number / per_second - time.monotonic())
            [event] = await self._append(1)
            appended[event.id] = time.time()
        return appended

    @asynccontextmanager
    async def daemon(self, target: RunningTarget) -> AsyncIterator[Daemon]:
        """Run a daemon that delivers them."""
        shipment = {
            "uses": "fulfillment",
            "on": "salesforce.*",
            "start": "earliest",
            "settings": {"url": target.url, "order": "id"},
        }
        log: dict[str, Any] = {
            "kafka": self.settings.model_dump(include={"bootstrap_servers", "prefix", "topic"})
        }
        # Nobody asks Salesforce for anything.
        configuration = sandbox_configuration("http://localhost:9", log=log, subscribers={"target": shipment})
        with TemporaryDirectory(prefix="streamer-bench-") as directory:
            config = written(Path(directory), configuration)
            async with Daemon.running(config, "--role", "dispatch") as daemon:
                yield daemon

    async def _append(self, count: int) -> list[Event]:
        events = [
            a_change(number, record_id(number, self.keys)) for number in range(self._next, self._next + count)
        ]
        self._next += count
        checkpoint = Checkpoint(channel=CHANNEL, replay_id=events[-1].replay_id, verified_at=time.time())
        await append_to(self.log, Append(checkpoint=checkpoint, events=events))
        return events


def _per_s(journal: list[tuple[str, float]]) -> float:
    return (len(journal) - 1) / (journal[-1][1] - journal[0][1])


def _out_of_order(journal: list[tuple[str, float]]) -> int:
    """Return how many events came after a later one of their key."""
    last: dict[str, str] = defaultdict(str)
    late = 0
    for name, _ in journal:
        key = name.rpartition(":")[2]
        late += name < last[key]
        last[key] = max(last[key], name)
    return late
