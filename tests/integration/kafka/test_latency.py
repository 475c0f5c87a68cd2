"""Times from a write to a real Kafka until the waiting reader gets it, on an idle machine."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from statistics import median

import pytest

from streamer.clock import SystemClock
from streamer.controls import Switch
from streamer.log.kafka.log import KafkaLog
from tests.contracts.test_controls import PAUSED, TARGET, done
from tests.contracts.values import an_event
from tests.integration.kafka.cluster import Cluster
from tests.integration.kafka.test_feed import reading, until_assigned
from tests.integration.kafka.topics import own_settings
from tests.waiting import limited, until

pytestmark = pytest.mark.alone

_RUNNING = replace(PAUSED, switch=Switch.RUNNING)


@pytest.fixture
def cluster(kafka: str) -> Cluster:
    """A cluster with nothing of ours in it."""
    return Cluster(kafka)


async def test_change_is_seen_within_a_moment(kafka: str) -> None:
    """A pause is obeyed at once, not at the next polling interval."""
    delays: list[float] = []
    writes: list[float] = []
    async with (
        KafkaLog.open(own_settings(kafka), SystemClock()) as log,
        aclosing(log.controls.switched()) as boards,
    ):
        await anext(boards)
        await log.controls.note(done("producer.made"))
        for control in (PAUSED, _RUNNING) * 5:
            began = time.perf_counter()
            await log.controls.switch(control, done("subscriber.switched"))
            written = time.perf_counter()
            async with limited("the next board"):
                assert (await anext(boards)).pauses(TARGET) is (control is PAUSED)
            delays.append(time.perf_counter() - written)
            writes.append(written - began)

    # A slow machine writes slowly too.
    assert median(delays) < max(0.1, 2 * median(writes))


async def test_event_reaches_a_waiting_reader_at_once(cluster: Cluster) -> None:
    """Between the commit and the page lie milliseconds, not a polling interval."""
    cluster.create_for()
    delays: list[float] = []
    writes: list[float] = []
    async with cluster.following() as follower:
        await until_assigned(follower, 1)
        for number in range(20):
            reading = asyncio.create_task(follower.read_until(str(number)))
            began = time.perf_counter()
            await asyncio.to_thread(cluster.write, an_event(number))
            written = time.perf_counter()
            await reading
            delays.append(time.perf_counter() - written)
            writes.append(written - began)

    # A slow machine writes slowly too.
    assert median(delays) < max(0.06, 2 * median(writes))


async def test_kept_partition_does_not_pause_while_others_move(cluster: Cluster) -> None:
    """Two processes join and leave, and what the first one keeps comes as if nothing happened."""
    cluster.create_for(partitions=3)
    async with cluster.following() as first:
        await until_assigned(first, 3)
        before = dict(first.assigned)
        arrivals: dict[str, float] = {}
        async with reading(first, arrivals):
            async with writing(cluster, partitions=3) as sent:
                async with cluster.following() as second, reading(second):
                    await until(lambda: len(second.assigned) > 0)
                    async with cluster.following() as third, reading(third):
                        await until(lambda: len(third.assigned) == len(second.assigned) == 1)
                        [kept] = first.assigned
                await until(lambda: len(first.assigned) == 3)
            ours = {name: at for name, at in sent.items() if name.startswith(f"{kept.number}-")}
            await until(lambda: ours.keys() <= arrivals.keys())
        delays = [arrivals[name] - at for name, at in ours.items()]

    assert first.assigned[kept] == before[kept]
    assert len(delays) > 20
    assert median(delays) < 0.5
    assert max(delays) < cluster.settings.session_timeout_s


@asynccontextmanager
async def writing(cluster: Cluster, *, partitions: int) -> AsyncIterator[dict[str, float]]:
    """Write events to each partition beside the body, and note when."""
    sent: dict[str, float] = {}

    async def write() -> None:
        for number in itertools.count():
            for partition in range(partitions):
                name = f"{partition}-{number}"
                await asyncio.to_thread(cluster.write, an_event(name), partition=partition)
                sent[name] = time.monotonic()
            await asyncio.sleep(0.02)

    task = asyncio.create_task(write())
    try:
        yield sent
    finally:
        task.cancel()
        await asyncio.wait([task])
