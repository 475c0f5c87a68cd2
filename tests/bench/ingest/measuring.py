"""The three measurements, each with the real parts in processes of their own."""

import asyncio
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson
from aiokafka import AIOKafkaConsumer

from tests.bench.ingest.org import Org
from tests.bench.results import Drain, Latency, Plain
from tests.bench.usage import cpu_s, resident_mb
from tests.configuration import CHANGES, sandbox_configuration, written
from tests.daemon import Daemon, until

_HELD_BACK_S = 1.0
_DEADLINE_S = 120.0
_IDLE_S = 0.3

Progress = Callable[[int], None]
"""Is told how many events have passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """So many events at a steady rate, measured so many times."""

    events: int
    per_second: float
    times: int


@dataclass(slots=True, kw_only=True)
class Bench:
    """Measures on one org and one broker; every daemon starts from the beginning of the backlog."""

    org: Org
    kafka: str
    unique: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    _runs: int = 0
    _delivered: int = 0

    async def drain(self, events: int, progress: Progress) -> Drain:
        """Measure a daemon that drains the org's backlog of `events`."""
        async with self._daemon() as (daemon, topic):
            # The first answer waits, and its client with it: what was used by
            # now is the start, and what is used from now on the events.
            began = await self.org.held_back(self._runs) + _HELD_BACK_S
            await asyncio.sleep(_IDLE_S)
            used_at_start = cpu_s(daemon.pid)
            ended = await self._caught_up(daemon, events, progress)
            used = cpu_s(daemon.pid) - used_at_start
            memory = resident_mb(daemon.pid)
            assert await daemon.stop() == 0
        return Drain(
            events=events,
            committed=await count_committed(self.kafka, topic, expected=events),
            events_per_s=events / (ended - began),
            cpu_us_per_event=used / events * 1e6,
            resident_mb=memory,
        )

    async def plain(self, events: int) -> Plain:
        """Measure the plain script on the first `events` of the same backlog."""
        topic = f"bench{self.unique}.plain"
        script = await _python(
            "tests.bench.ingest.plain_script", self.org.url, self.kafka, topic, str(events)
        )
        return Plain(events=events, **orjson.loads(await _output_of(script)))

    async def latencies(self, options: Stream, *, backlog: int, progress: Progress) -> list[Latency]:
        """Measure a steady stream, several times, through one daemon that drained `backlog` before."""
        found = []
        async with self._daemon() as (daemon, topic):
            await self._caught_up(daemon, backlog, progress)
            for _ in range(options.times):
                latencies_ms = await self._latencies(options, topic)
                memory = resident_mb(daemon.pid)
                found.append(Latency.of(latencies_ms, per_second=options.per_second, resident_mb=memory))
                progress(options.events)
            assert await daemon.stop() == 0
        return found

    async def _latencies(self, options: Stream, topic: str) -> list[float]:
        reader = await _python("tests.bench.ingest.committed_reader", self.kafka, topic, str(options.events))
        assert reader.stdout is not None
        assert await asyncio.wait_for(reader.stdout.readline(), _DEADLINE_S) == b"ready\n"
        await self.org.change(options.events, records=options.events // 10, per_second=options.per_second)
        return list(orjson.loads(await _output_of(reader)))

    @asynccontextmanager
    async def _daemon(self) -> AsyncIterator[tuple[Daemon, str]]:
        self._runs += 1
        self._delivered = int((await self.org.state())["delivered_events"])
        name = f"bench{self.unique}-{self._runs}"
        log = {
            "kafka": {"bootstrap_servers": self.kafka, "prefix": name, "topic": f"{name}.{{kind}}.{{name}}"}
        }
        await self.org.hold_back_the_first_answer(_HELD_BACK_S)
        with TemporaryDirectory(prefix="streamer-bench-") as directory:
            configuration = sandbox_configuration(self.org.url, log=log)
            configuration["channels"] = [{"path": CHANGES, "start": "earliest"}]
            path = written(Path(directory), configuration)
            async with Daemon.running(path, "--role", "ingest") as daemon:
                await daemon.ready()
                yield daemon, f"{name}.cdc.Account"

    async def _caught_up(self, daemon: Daemon, events: int, progress: Progress) -> float:
        """Return the moment (monotonic) when `events` were committed."""
        delivered_before = self._delivered
        shown = 0

        # The daemon is not asked while it works: that would count as its work.
        async def delivered() -> bool:
            nonlocal shown
            now = int((await self.org.state())["delivered_events"]) - delivered_before
            progress(now - shown)
            shown = now
            return now >= events

        async def committed() -> bool:
            return await daemon.metric("streamer_ingest_events_total") >= events

        await until(delivered, within_s=_DEADLINE_S, every_s=0.02)
        await until(committed, within_s=_DEADLINE_S)
        return time.monotonic()


async def count_committed(kafka: str, topic: str, *, expected: int) -> int:
    """Return how many committed events of `topic` an independent reader finds, `expected` or not."""
    count = 0
    end = time.monotonic() + _DEADLINE_S
    async with AIOKafkaConsumer(
        topic, bootstrap_servers=kafka, isolation_level="read_committed", auto_offset_reset="earliest"
    ) as consumer:
        while (records := await consumer.getmany(timeout_ms=500)) or (
            count < expected and time.monotonic() < end
        ):
            count += sum(map(len, records.values()))
    return count


async def _output_of(process: asyncio.subprocess.Process) -> bytes:
    answer, errors = await asyncio.wait_for(process.communicate(), _DEADLINE_S)
    if process.returncode:
        raise RuntimeError(errors.decode())
    return answer


async def _python(module: str, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        # Libraries complain of what they mend themselves: it is shown if they fail.
        stderr=asyncio.subprocess.PIPE,
    )
