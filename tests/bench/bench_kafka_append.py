"""The cost of an append to Kafka: `python -m tests.bench.bench_kafka_append`."""

import asyncio
import os
import platform
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Literal, get_args

from streamer.clock import SystemClock
from streamer.events import Event
from streamer.log.kafka.log import KafkaLog
from streamer.settings import KafkaLogSettings
from tests.bench.events import a_change, append, record_id
from tools.kafka.broker import STEADY, Broker
from tools.kafka.server import FULL_SPEED

_EVENTS = 100_000
_ALONE = 2_000
_COMPRESSED = 20_000
_BATCH = 1_000

Compression = Literal["none", "gzip", "snappy", "lz4", "zstd"]


def an_event(number: int) -> Event:
    """Return a change event of one of 5,000 records."""
    return a_change(number, record_id(number, 5_000))


async def backlog(log: KafkaLog, size: int) -> str:
    """Append `_EVENTS` events, `size` at once."""
    events = [an_event(number) for number in range(size)]
    await append(log, events)
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(_EVENTS // size):
        await append(log, events)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return f"{size:>6} at once: {cpu / _EVENTS * 1e6:5.2f} µs of CPU an event, {_EVENTS / wall:8.0f} events/s"


async def alone(log: KafkaLog, pause_s: float) -> str:
    """Append single events, `pause_s` apart, and return how long each took."""
    events = [an_event(number) for number in range(_ALONE)]
    took: list[float] = []
    for event in events:
        began = time.perf_counter()
        await append(log, [event])
        took.append(time.perf_counter() - began)
        await asyncio.sleep(pause_s)
    took.sort()
    p50, p99 = (took[int(len(took) * share)] * 1e3 for share in (0.5, 0.99))
    return f"alone, {pause_s * 1e3:.0f} ms apart: p50 {p50:.1f} ms, p99 {p99:.1f} ms until committed"


async def compressed(broker: Broker, compression: Compression) -> str:
    """Append 20,000 different events, and look how much room they take."""
    name = f"bench-{uuid.uuid4().hex[:8]}"
    settings = KafkaLogSettings(
        bootstrap_servers=broker.bootstrap, prefix=name, topic=f"{name}.{{name}}", compression=compression
    )
    batches = [
        [an_event(number) for number in range(begin, begin + _BATCH)]
        for begin in range(0, _COMPRESSED, _BATCH)
    ]
    async with KafkaLog.open(settings, SystemClock()) as log:
        await append(log, batches[0])
        cpu = time.process_time()
        for batch in batches:
            await append(log, batch)
        cpu = time.process_time() - cpu
    # The segments are set up larger than what they hold.
    room = sum(each.stat().st_blocks * 512 for each in broker.folder.rglob(f"{name}.Account-*/*.log"))
    events = _COMPRESSED + _BATCH
    return f"{compression:>6}: {cpu / _COMPRESSED * 1e6:5.2f} µs of CPU an event, {room / events:5.0f} bytes"


async def measure(bootstrap: str, say: Callable[[str], object]) -> None:
    """Print every figure."""
    settings = KafkaLogSettings(bootstrap_servers=bootstrap, prefix=f"bench-{uuid.uuid4().hex[:8]}")
    async with KafkaLog.open(settings, SystemClock()) as log:
        lines: list[Awaitable[str]] = [backlog(log, size) for size in (2_000, 1_000, 2_000, 100)]
        for line in [*lines, alone(log, 0.002)]:
            say(await line + "\n")


def main() -> None:
    """Measure on the broker that STREAMER_KAFKA names, or on one of our own."""
    say = sys.stdout.write
    machine = platform.processor() or platform.machine()
    say(f"{machine}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    say(f"events of {len(repr(an_event(1).data))} characters\n")
    if address := os.environ.get("STREAMER_KAFKA"):
        asyncio.run(measure(address, say))
        return
    with Broker(settings=STEADY, java_options=FULL_SPEED) as broker:
        asyncio.run(measure(broker.bootstrap, say))
        for compression in get_args(Compression):
            say(asyncio.run(compressed(broker, compression)) + "\n")


if __name__ == "__main__":
    main()
