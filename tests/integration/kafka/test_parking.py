"""Parked events in a real Kafka, beyond the contract suite."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from confluent_kafka import Producer

from streamer.errors import LogMisconfigured, LogUnavailable
from streamer.events import Entry, Forwarded, ParkedLane, Partition, SettledOffsets
from streamer.log.kafka.records.parked import ParkedTopic
from streamer.ports import Settlement
from tests.contracts.follower import Follower
from tests.contracts.values import a_receipt, an_event
from tests.integration.kafka.cluster import TARGET, Cluster
from tests.integration.kafka.parking_process import parked, setback
from tests.waiting import limited

_DEADLINE_S = 60.0
_LANES = 500


@pytest.fixture
def cluster(kafka: str) -> Cluster:
    """A cluster without records of ours, where a dead member is noticed soon."""
    return Cluster(kafka, session_timeout_s=2)


async def test_lanes_outlive_the_process_that_parked_them(cluster: Cluster) -> None:
    """After a kill, the next owner has each head's attempts and due time, and every body."""
    cluster.create_for(partitions=3)
    for partition in range(3):
        cluster.write(*(an_event(n) for n in range(_LANES) if n % 3 == partition), partition=partition)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.integration.kafka.parking_process",
        cluster.settings.model_dump_json(), str(_LANES), stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert await process.stdout.readline() == b"parked\n"
    process.kill()
    await process.wait()
    async with cluster.following() as follower:
        await until_assigned(follower, 3)

        assert {lane.lane: lane.setback for lane in follower.lanes} == {
            str(number): setback(number) for number in range(_LANES)
        }
        assert sorted([e.event.id for e in await recalled(follower)], key=int) == [*map(str, range(_LANES))]
        assert not follower.entries


@pytest.mark.parametrize("what", ["lanes", "receipts", "forwarded"])
async def test_former_member_can_neither_park_nor_write_receipts(cluster: Cluster, what: str) -> None:
    """The broker refuses a process that has left the group, and nothing of its write is visible."""
    topic = cluster.create_for()
    downstream = cluster.create_forwarded()
    cluster.write(an_event(1))
    entry = Entry(partition=Partition(topic=topic, number=0), offset=0, event=an_event(1))
    said = Settlement(assignment=1, progress={entry.partition: SettledOffsets(next_offset=1)})
    said = replace(
        said,
        lanes=[parked(entry)] if what == "lanes" else (),
        receipts=[a_receipt("1")],
        forwarded=[Forwarded(to=downstream, event=an_event(1), at=0.0)] if what == "forwarded" else (),
    )
    former = await asyncio.to_thread(cluster.former_member)
    async with cluster.following() as follower:
        await follower.read_until("1")
        assert isinstance(await asyncio.to_thread(cluster.settle_as, former, said), LogUnavailable)
    async with cluster.following() as follower:
        assert await follower.read_until("1") == ["1"]

    assert (follower.lanes, cluster.receipts(), cluster.parked_records()) == ([], [], [])
    assert cluster.forwarded_records(downstream) == []


async def test_lanes_move_with_their_partitions(cluster: Cluster) -> None:
    """Each process knows the present lanes of its partitions, and no others."""
    cluster.create_for(partitions=2)
    for number in range(2):
        cluster.write(an_event(number), partition=number)
    async with cluster.following() as first:
        await first.read_until("0", "1")
        entries = {entry.partition: entry for entry in first.entries}
        await first.settle(lanes=[*map(parked, first.entries)])
        async with cluster.following() as second, reading(first):
            await until_assigned(second, 1)
            [moved], [kept] = second.assigned, entries.keys() - second.assigned
            assert second.lanes == [lane_of(entries[moved])]
            assert await second.recall(entries[moved]) == [entries[moved]]
            assert not await first.recall(entries[moved])
            assert await first.recall(entries[kept]) == [entries[kept]]
            await second.settle(lanes=[replace(parked(entries[moved]), setback=setback(99), joined=())])
        await until_assigned(first, 2)

    assert first.lanes == [replace(lane_of(entries[moved]), setback=setback(99))]


async def test_retry_rewrites_no_body(cluster: Cluster) -> None:
    """A lane that fails all day costs a few bytes each time, however large its events are."""
    cluster.create_for()
    cluster.write(an_event(1, data={"text": "x" * 100_000}))
    async with cluster.following() as follower:
        await follower.read_until("1")
        [entry] = follower.entries
        await follower.settle(lanes=[parked(entry)])
        for attempt in range(2, 5):
            await follower.settle(lanes=[replace(parked(entry), setback=setback(attempt), joined=())])

    sizes = sorted(len(message.value() or b"") for message in cluster.parked_records())
    assert len(sizes) == 5
    assert max(sizes[:-1]) < 200


async def test_event_of_four_megabytes_is_parked_and_let_go_of_in_parts(cluster: Cluster) -> None:
    """An event that its topic accepts is not too large to park, and leaves nothing behind."""
    large = an_event(1, data={"text": "ü" * 2_000_000})
    cluster.write_large(large)
    async with cluster.following() as follower:
        await follower.read_until("1")
        [entry] = follower.entries
        await follower.settle(lanes=[parked(entry)])
        assert await follower.recall(entry) == [entry]
    async with cluster.following() as follower:
        await until_assigned(follower, cluster.settings.partitions)
        assert await follower.recall(entry) == [entry]
        await follower.settle(lanes=[replace(parked(entry), setback=None, joined=(), left=[entry.offset])])

    latest = {message.key(): message.value() for message in cluster.parked_records()}
    assert len(latest) > 8
    assert not any(latest.values())


async def test_what_a_former_owner_left_open_is_awaited(cluster: Cluster) -> None:
    """Nothing is delivered past a lane that is possibly parked; partitions already assigned go on."""
    first, late = cluster.create_for(), Partition(topic="", number=0)
    async with cluster.following() as follower:
        await until_assigned(follower, 1)
        late = Partition(topic=cluster.names.event_topic("salesforce.event.Late__e"), number=0)
        entry = Entry(partition=late, offset=0, event=an_event("late", what="salesforce.event.Late__e"))
        async with left_open(cluster, entry) as producer:
            cluster.create(late.topic, 1)
            cluster.write(entry.event, an_event("later", what="salesforce.event.Late__e"))
            await asyncio.sleep(1.5)
            cluster.write(an_event("beside"))
            assert await follower.read_until("beside") == ["beside"]
            assert {partition.topic for partition in follower.assigned} == {first}
            producer.commit_transaction(_DEADLINE_S)
        await follower.read_until("later")

    assert follower.ids == ["beside", "late", "later"]
    assert follower.lanes == [ParkedLane(lane="late", offsets=(0,), setback=setback(1))]


async def test_subscriber_whose_parked_events_are_gone_is_refused(cluster: Cluster) -> None:
    """They would be lost silently: the error names the topic to restore, or how to accept the loss."""
    cluster.create_for()
    async with cluster.following():
        pass
    await asyncio.to_thread(cluster.delete, cluster.parked)

    with pytest.raises(LogMisconfigured, match=rf"{cluster.parked} is missing, .* create .*8 partitions"):
        async with cluster.following():
            pass


async def test_new_subscriber_gets_its_topic(cluster: Cluster) -> None:
    """The topic has the settings that Streamer relies on."""
    await asyncio.to_thread(cluster.delete, cluster.parked)
    async with cluster.following():
        pass

    state = cluster.state(cluster.parked)
    wanted = {"cleanup.policy": "compact", "segment.bytes": "16777216", "max.message.bytes": "4194304"}
    assert state.partitions == 8
    assert wanted.items() <= state.settings.items()


async def test_parked_events_can_be_had_while_partitions_move(kafka: str) -> None:
    """A due delivery does not wait for a process that is slow to give up its partitions."""
    cluster = Cluster(kafka, session_timeout_s=15)
    cluster.create_for(partitions=2)
    cluster.write(an_event(1))
    async with cluster.following() as first:
        await first.read_until("1")
        await until_assigned(first, 2)
        [entry] = first.entries
        await first.settle(lanes=[parked(entry)])
        assert await first.recall(entry) == [entry]
        async with cluster.following():
            # The first one is asked to let go at its next heartbeat, and does not hear it for 15 s.
            await asyncio.sleep(4)
            async with asyncio.timeout(10):
                assert await first.recall(entry) == [entry]


async def test_topics_of_our_own_are_no_events(kafka: str) -> None:
    """This holds even where the template of event topics matches their names."""
    cluster = Cluster(kafka, dotted=True)
    cluster.create_for()
    cluster.write(an_event(1))
    async with cluster.following() as follower:
        await follower.read_until("1")
        await follower.settle(lanes=[parked(follower.entries[0])])
        cluster.write(an_event(2))
        assert await follower.read_until("2") == ["1", "2"]
        await asyncio.sleep(0.5)
        await follower.settle()

        assert len(follower.assigned) == 1
    assert not cluster.dead_letters()


def lane_of(entry: Entry) -> ParkedLane:
    """Return the lane in which the test parked `entry`."""
    return ParkedLane(lane=entry.event.key, offsets=(entry.offset,), setback=setback(int(entry.event.id)))


async def recalled(follower: Follower) -> list[Entry]:
    """Return all parked events, after checking that none is indexed twice."""
    found: list[Entry] = []
    offsets = sorted(offset for lane in follower.lanes for offset in lane.offsets)
    for partition in follower.assigned:
        found += await follower.feed.recall(partition, sorted(set(offsets)))
    assert len(found) == len(offsets)
    return found


async def until_assigned(follower: Follower, count: int) -> None:
    """Read until `count` partitions are assigned."""
    async with limited(f"{count} partitions"):
        while len(follower.assigned) != count:
            await follower.step()


@asynccontextmanager
async def reading(follower: Follower) -> AsyncIterator[None]:
    """Let `follower` read beside the body."""

    async def read() -> None:
        while True:
            await follower.step()

    task = asyncio.create_task(read())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


@asynccontextmanager
async def left_open(cluster: Cluster, entry: Entry) -> AsyncIterator[Producer]:
    """Write the records that park `entry`, as a process does that stalls before its commit."""
    topic = ParkedTopic.of(cluster.settings, TARGET)
    producer = Producer(
        {"bootstrap.servers": cluster.settings.bootstrap_servers, "transactional.id": f"{topic.name}.other"}
    )
    producer.init_transactions(_DEADLINE_S)
    producer.begin_transaction()
    records = [*topic.event(entry, entry.event.key), topic.lane(entry.partition, entry.event.key, setback(1))]
    for record in records:
        producer.produce(record.topic, record.value, record.key, record.partition, headers=record.headers)
    producer.flush(_DEADLINE_S)
    yield producer
