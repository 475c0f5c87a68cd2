"""Parked events are fetched, many at once, and after an error."""

import asyncio
import time
from statistics import median

import pytest
from confluent_kafka import KafkaError

from streamer.log.kafka import parked_index
from tests.contracts.values import an_event
from tests.integration.kafka.cluster import Cluster
from tests.integration.kafka.parking_process import parked

_COUNT = 40


@pytest.fixture
def cluster(kafka: str) -> Cluster:
    """A cluster without records of ours."""
    return Cluster(kafka)


async def test_everyone_who_asks_is_answered_however_little_is_read_at_once(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The events that many lanes request together can exceed the memory."""
    monkeypatch.setattr(parked_index, "_PARTS_AT_ONCE", 3)
    cluster.create_for()
    cluster.write(*(an_event(n) for n in range(_COUNT)))
    async with cluster.following() as follower:
        await follower.read_until(str(_COUNT - 1))
        await follower.settle(lanes=[*map(parked, follower.entries)])
        answers = await asyncio.gather(*map(follower.recall, follower.entries))

    assert answers == [[entry] for entry in follower.entries]


async def test_trouble_that_is_over_does_not_colour_what_comes_later(cluster: Cluster) -> None:
    """A refusal of credentials that ended last week must not turn a time-out into a fatal error."""
    cluster.create_for()
    cluster.write(an_event(1))
    async with cluster.following() as follower:
        await follower.read_until("1")
        member = follower.feed._recall.__self__  # type: ignore[attr-defined] # behind the port, on purpose
        clients = [member._errors, member._context.settler._errors, member._recall._errors]
        for errors in clients:
            errors.note(KafkaError(KafkaError._AUTHENTICATION))
        cluster.write(an_event(2))
        await follower.read_until("2")
        await follower.settle(lanes=[parked(follower.entries[0])])
        await follower.recall(follower.entries[0])

        assert [errors.refusal for errors in clients] == [None, None, None]


async def test_lane_does_not_wait_behind_a_request_for_more(cluster: Cluster) -> None:
    """Parked events requested one by one arrive at once, though nothing follows the last position."""
    cluster.create_for()
    delays: list[float] = []
    writes: list[float] = []
    for number in range(_COUNT):
        began = time.perf_counter()
        cluster.write(an_event(number))
        writes.append(time.perf_counter() - began)
    async with cluster.following() as follower:
        await follower.read_until(str(_COUNT - 1))
        await follower.settle(lanes=[*map(parked, follower.entries)])
        for number in (-1, 0) * 10:
            began = time.perf_counter()
            assert await follower.recall(follower.entries[number]) == [follower.entries[number]]
            delays.append(time.perf_counter() - began)

    # A slow machine writes slowly too. It was half a second.
    assert median(delays) < max(0.1, 2 * median(writes))
