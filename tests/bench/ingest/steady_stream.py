"""The latency of a steady stream through a daemon that runs."""

import asyncio
from dataclasses import dataclass

import orjson

from tests.bench.ingest.committed import transactions
from tests.bench.ingest.org import Org
from tests.bench.ingest.relays import checkpoint_topic, event_topic
from tests.bench.ingest.results import Latency
from tests.bench.processes import output_of, python
from tests.bench.usage import cpu_s, resident_mb

_DEADLINE_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """So many events at a steady rate."""

    events: int
    per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Relayed:
    """A daemon's process id, and the prefix of its topics."""

    pid: int
    prefix: str


async def latency(org: Org, kafka: str, stream: Stream, daemon: Relayed) -> Latency:
    """Send `stream`, and return the latencies of its events and what they cost the daemon."""
    events, checkpoints = event_topic(daemon.prefix), checkpoint_topic(daemon.prefix)
    reader = await python("tests.bench.ingest.committed_reader", kafka, events, str(stream.events))
    assert reader.stdout is not None
    assert await asyncio.wait_for(reader.stdout.readline(), _DEADLINE_S) == b"ready\n"
    committed_before = await transactions(kafka, checkpoints)
    used_before = cpu_s(daemon.pid)
    await org.change(stream.events, records=max(1, stream.events // 10), per_second=stream.per_second)
    latencies_ms = list(orjson.loads(await output_of(reader)))
    used = cpu_s(daemon.pid) - used_before
    return Latency.of(
        latencies_ms,
        per_second=stream.per_second,
        transactions=await transactions(kafka, checkpoints) - committed_before,
        cpu_s=used,
        resident_mb=resident_mb(daemon.pid),
    )
