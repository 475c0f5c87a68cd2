"""The measurements of ingest, each with the real parts in processes of their own."""

import asyncio
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

import orjson

from tests.bench.ingest.committed import Committed, check_equal, committed
from tests.bench.ingest.org import Org
from tests.bench.ingest.relays import Relay, bare_probe, checkpoint_topic, event_topic, streamer
from tests.bench.ingest.results import Drain, Drains, Latencies, Plain
from tests.bench.ingest.steady_stream import Relayed, Stream, latency
from tests.bench.processes import output_of, python
from tests.bench.usage import cpu_s, resident_mb
from tests.waiting import until

_HELD_BACK_S = 1.0
_DEADLINE_S = 120.0
_IDLE_S = 0.3
_QUIET_S = 1.0

Progress = Callable[[int], object]
"""Is told how many events have passed."""


@dataclass(slots=True, kw_only=True)
class IngestBench:
    """Measures on one org with a backlog and one broker; every program starts from its beginning."""

    org: Org
    kafka: str
    backlog: int
    _unique: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    _runs: int = 0

    async def drains(self, *, rounds: int, plain: int, progress: Progress) -> Drains:
        """Drain the backlog by Streamer and the bare probe in turn, and `plain` events by the plain script.

        Raises `Unequal` when the probe wrote other records than Streamer.
        """
        ours, bare = [], []
        for _ in range(rounds):
            drain, written = await self._drain(streamer, progress)
            ours.append(drain)
            drain, written_by_probe = await self._drain(bare_probe, progress)
            bare.append(drain)
            for one, other in zip(written, written_by_probe, strict=True):
                check_equal(one, other)
        script = await self._plain(plain)
        progress(plain)
        return Drains(streamer=ours, probe=bare, plain=script)

    async def latencies(self, stream: Stream, *, rounds: int, progress: Progress) -> Latencies:
        """Measure a steady stream, several times, through one daemon that drained the backlog before."""
        delivered_before = await self._delivered()
        prefix = self._prefix()
        found = []
        async with streamer(self.org, self.kafka, prefix) as pid:
            await self._drained(delivered_before, progress)
            used_before = cpu_s(pid)
            await asyncio.sleep(_QUIET_S)
            quiet = (cpu_s(pid) - used_before) / _QUIET_S
            for _ in range(rounds):
                found.append(await latency(self.org, self.kafka, stream, Relayed(pid=pid, prefix=prefix)))
                progress(stream.events)
        return Latencies(quiet_cpu_ms_per_s=quiet * 1e3, streams=found)

    async def _drain(self, relay: Relay, progress: Progress) -> tuple[Drain, tuple[Committed, Committed]]:
        prefix, events = self._prefix(), self.backlog
        delivered_before = await self._delivered()
        # The first answer waits, and its client with it: what was used by
        # now is the start, and what is used from now on the events.
        held_back = await self.org.hold_back_the_first_answer(_HELD_BACK_S)
        async with relay(self.org, self.kafka, prefix) as pid:
            began = await held_back() + _HELD_BACK_S
            await asyncio.sleep(_IDLE_S)
            used_at_start = cpu_s(pid)
            ended = await self._drained(delivered_before, progress)
            await asyncio.sleep(_IDLE_S)
            used = cpu_s(pid) - used_at_start
            memory = resident_mb(pid)
        written = await committed(self.kafka, event_topic(prefix), checkpoint_topic(prefix), expected=events)
        drain = Drain(
            events=events,
            committed=written[0].count,
            events_per_s=events / (ended - began),
            cpu_us_per_event=used / events * 1e6,
            resident_mb=memory,
        )
        return drain, written

    async def _plain(self, events: int) -> Plain:
        script = await python(
            "tests.bench.ingest.plain_script", self.org.url, self.kafka, self._prefix(), str(events)
        )
        found = orjson.loads(await output_of(script))
        return Plain(events=events, **found)

    async def _drained(self, delivered_before: int, progress: Progress) -> float:
        """Return the moment (monotonic) when the backlog was committed.

        The sandbox tells: a client that asks for more than the last event,
        and so is held, has committed it. The client itself is not asked
        while it works: that would count as its work.
        """
        shown = 0

        async def is_drained() -> bool:
            nonlocal shown
            state = await self.org.state()
            now = int(state["delivered_events"]) - delivered_before
            progress(now - shown)
            shown = now
            return now >= self.backlog and state["held_connects"] > 0

        await until(is_drained, every_s=0.02)
        return time.monotonic()

    async def _delivered(self) -> int:
        return int((await self.org.state())["delivered_events"])

    def _prefix(self) -> str:
        self._runs += 1
        return f"bench{self._unique}-{self._runs}"
