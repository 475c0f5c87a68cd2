"""The measurements of the Pub/Sub API: a backlog beside two probes, a steady stream beside CometD."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from streamer.settings import Transport
from tests.bench.ingest.committed import Committed, check_equal, committed, last_commit
from tests.bench.ingest.org import Org
from tests.bench.ingest.pubsub_results import PubSubDrains, Received, TransportLatencies
from tests.bench.ingest.relays import (
    Relay,
    checkpoint_topic,
    event_topic,
    receiving_probe,
    streamer,
    writing_probe,
)
from tests.bench.ingest.results import Drain, Latency
from tests.bench.ingest.steady_stream import Relayed, Stream, latency
from tests.bench.usage import cpu_s, resident_mb
from tests.waiting import until

_HELD_BACK_S = 1.0
_DEADLINE_S = 300.0
_IDLE_S = 0.3
_LOOK_S = 0.02

Progress = Callable[[int], object]
"""Is told how many events have passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Passage:
    """The passage of the backlog to a client: its length in seconds, and the client's CPU and memory."""

    seconds: float
    cpu_s: float
    resident_mb: float


@dataclass(slots=True, kw_only=True)
class PubSubBench:
    """Measures on one org and one broker; every program starts from the org's beginning."""

    org: Org
    kafka: str
    _unique: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    _runs: int = 0

    async def drains(self, *, backlog: int, rounds: int, progress: Progress) -> PubSubDrains:
        """Drain the org's `backlog` by Streamer, and by the probes that write and that don't, in turn.

        Raises `Unequal` when the probe wrote other records than Streamer.
        """
        ours, writing, receiving = [], [], []
        over_pubsub = partial(streamer, transport=Transport.PUBSUB)
        for _ in range(rounds):
            drain, written = await self._drain(over_pubsub, backlog, progress)
            ours.append(drain)
            receiving.append(await self._received(backlog, progress))
            drain, by_probe = await self._drain(partial(writing_probe, events=backlog), backlog, progress)
            writing.append(drain)
            for one, other in zip(written, by_probe, strict=True):
                check_equal(one, other)
        return PubSubDrains(streamer=ours, receiving_probe=receiving, writing_probe=writing)

    async def latencies(self, stream: Stream, *, rounds: int, progress: Progress) -> TransportLatencies:
        """Measure a steady stream over each transport in turn, each time through a daemon of its own.

        The daemon has drained all that the org retains before.
        """
        found: dict[Transport, list[Latency]] = {transport: [] for transport in Transport}
        for _ in range(rounds):
            for transport, latencies in found.items():
                prefix = self._prefix()
                retained, before = await self.org.sent(), await self._delivered()
                async with streamer(self.org, self.kafka, prefix, transport=transport) as pid:
                    await self._delivery(before + retained)
                    await last_commit(self.kafka, checkpoint_topic(prefix))
                    relayed = Relayed(pid=pid, prefix=prefix)
                    latencies.append(await latency(self.org, self.kafka, stream, relayed))
                progress(stream.events)
        return TransportLatencies(streams={transport.value: each for transport, each in found.items()})

    async def carried(
        self, events: int, progress: Progress, log: Mapping[str, Any] | None = None
    ) -> tuple[str, Drain]:
        """Let Streamer carry the backlog into Kafka; return the prefix of its topics, and the figures.

        `log` has further settings of `log.kafka`.
        """
        prefix = self._prefix()
        relay = partial(streamer, transport=Transport.PUBSUB, log=log)
        drain, _ = await self._drain_into(prefix, relay, events, progress)
        return prefix, drain

    async def _drain(
        self, relay: Relay, events: int, progress: Progress
    ) -> tuple[Drain, tuple[Committed, Committed]]:
        return await self._drain_into(self._prefix(), relay, events, progress)

    async def _drain_into(
        self, prefix: str, relay: Relay, events: int, progress: Progress
    ) -> tuple[Drain, tuple[Committed, Committed]]:

        async def last() -> float:
            return await last_commit(self.kafka, checkpoint_topic(prefix))

        passage = await self._passage(relay(self.org, self.kafka, prefix), events, progress, last=last)
        written = await committed(self.kafka, event_topic(prefix), checkpoint_topic(prefix), expected=events)
        drain = Drain(
            events=events,
            committed=written[0].count,
            events_per_s=events / passage.seconds,
            cpu_us_per_event=passage.cpu_s / events * 1e6,
            resident_mb=passage.resident_mb,
        )
        return drain, written

    async def _received(self, events: int, progress: Progress) -> Received:
        async def last() -> float:
            moment = time.monotonic()
            await asyncio.sleep(_IDLE_S)
            return moment

        passage = await self._passage(receiving_probe(self.org), events, progress, last=last)
        return Received(
            events=events,
            events_per_s=events / passage.seconds,
            cpu_us_per_event=passage.cpu_s / events * 1e6,
        )

    async def _passage(
        self,
        client: AbstractAsyncContextManager[int],
        events: int,
        progress: Progress,
        *,
        last: Callable[[], Awaitable[float]],
    ) -> _Passage:
        """Run `client` until it has dealt with so many events; `last` waits for that and returns when it was.

        Its subscription waits for the first answer, so that its start can be
        told from its work.
        """
        before = await self._delivered()
        held_back = await self.org.hold_back_the_first_answer(_HELD_BACK_S, on="subscribe")
        async with client as pid:
            began = await held_back() + _HELD_BACK_S
            await asyncio.sleep(_IDLE_S)
            used_at_start = cpu_s(pid)
            await self._delivery(before + events, progress)
            seconds = await last() - began
            used = cpu_s(pid) - used_at_start
            return _Passage(seconds=seconds, cpu_s=used, resident_mb=resident_mb(pid))

    async def _delivery(self, count: int, progress: Progress | None = None) -> None:
        """Wait until the sandbox has delivered `count` events in all."""
        shown = await self._delivered()

        async def is_delivered() -> bool:
            nonlocal shown
            now = await self._delivered()
            if progress is not None:
                progress(now - shown)
            shown = now
            return now >= count

        await until(is_delivered, every_s=_LOOK_S)

    async def _delivered(self) -> int:
        return int((await self.org.state())["delivered_events"])

    def _prefix(self) -> str:
        self._runs += 1
        return f"bench{self._unique}-{self._runs}"
