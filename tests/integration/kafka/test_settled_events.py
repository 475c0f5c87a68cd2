"""A subscriber's settled events, read from a real Kafka: cases that only Kafka has."""

import asyncio
import time
from collections.abc import Mapping

import pytest
from confluent_kafka import KafkaException, Producer, TopicPartition

from streamer.clock import SystemClock
from streamer.errors import LogUnavailable
from streamer.events import Entry, Event, Partition
from streamer.log.kafka.cluster.bounded_reader import BoundedReader
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors
from streamer.log.kafka.feed.settled_events import settled_events
from streamer.log.kafka.records.events import EventEncoder
from streamer.log.kafka.topics.admin import KafkaAdmin
from streamer.ports import Subscription
from streamer.settings import KafkaLogSettings
from tests.contracts.values import an_event
from tests.integration.kafka.cluster import TARGET, Cluster
from tests.waiting import limited
from tools.ports import free_ports

_DEADLINE_S = 60.0


@pytest.fixture
def cluster(kafka: str) -> Cluster:
    """A cluster with nothing of ours in it."""
    return Cluster(kafka)


async def done(
    settings: KafkaLogSettings, begin: Mapping[Partition, int], *, retry_limit_s: float = _DEADLINE_S
) -> list[Entry]:
    """Return what the target is done with, which has to end by itself."""
    clients = Clients(settings=settings)
    subscription = Subscription(subscriber=TARGET, patterns=("salesforce.*",))
    reading = settled_events(clients, KafkaAdmin(clients), subscription, begin, retry_limit_s=retry_limit_s)
    async with limited("the end of the reading"):
        return [entry async for entry in reading]


async def test_reading_ends_behind_what_holds_no_event(cluster: Cluster) -> None:
    """Markers and what was aborted take offsets too, and no record comes at them."""
    topic = cluster.create_for()
    cluster.write(an_event(1))
    write_aborted(cluster, an_event("aborted"))
    cluster.write(an_event(2))
    write_aborted(cluster, an_event("aborted too"), an_event("and this"))
    async with cluster.following() as follower:
        await follower.read_past(9)
        await follower.settle()
        assert follower.through == {Partition(topic=topic, number=0): 9}

        assert await done(cluster.settings, {Partition(topic=topic, number=0): 0}) == follower.entries
        assert follower.ids == ["1", "2"]


async def test_reading_goes_on_behind_what_retention_took(cluster: Cluster) -> None:
    """Deleted events are skipped; a partition without any left returns nothing."""
    topic = cluster.create_for()
    cluster.write(*(an_event(n) for n in range(5)))
    begin = {Partition(topic=topic, number=0): 0}
    async with cluster.following() as follower:
        await follower.read_past(5)
        await follower.settle()
        cut(cluster, topic, below=3)
        assert await done(cluster.settings, begin) == follower.entries[3:]
        cut(cluster, topic, below=6)
        assert await done(cluster.settings, begin) == []


async def test_what_is_no_event_is_left_out(cluster: Cluster) -> None:
    """Tombstones, and records that were set aside because nobody could read them."""
    topic = cluster.create_for()
    with cluster.transaction() as producer:
        producer.produce(topic, b"no JSON", b"key", 0)
        producer.produce(topic, None, b"key", 0)
    cluster.write(an_event(1))
    async with cluster.following() as follower:
        await follower.read_until("1")
        await follower.settle()

        assert await done(cluster.settings, {Partition(topic=topic, number=0): 0}) == follower.entries


async def test_partition_with_a_backlog_holds_up_no_other(cluster: Cluster) -> None:
    """The reader neither waits for events after the last settled offset nor returns them."""
    topic = cluster.create_for(partitions=2)
    short, long = (Partition(topic=topic, number=number) for number in range(2))
    for partition in (short, long):
        cluster.write(*(an_event(n) for n in range(3_000)), partition=partition.number)
    cluster.commit(TopicPartition(topic, short.number, 1))
    cluster.commit(TopicPartition(topic, long.number, 2_500))

    read = await done(cluster.settings, {short: 0, long: 10})

    assert [entry.offset for entry in read if entry.partition == short] == [0]
    assert [entry.offset for entry in read if entry.partition == long] == [*range(10, 2_500)]


async def test_what_retention_takes_while_the_reading_begins_is_passed_over(cluster: Cluster) -> None:
    """Only by who asks for that: elsewhere nothing may be missing. Nothing comes from behind the end."""
    topic = cluster.create_for()
    cluster.write(*(an_event(n) for n in range(9)))
    cut(cluster, topic, below=3)

    assert swept(cluster, topic, (0, 6), over_holes=True) == [3, 4, 5]
    with pytest.raises(KafkaException):
        swept(cluster, topic, (0, 6), over_holes=False)


class StoppedClock(SystemClock):
    """Clock that stands still until a test lets it go."""

    def __init__(self) -> None:
        """Stand still."""
        super().__init__()
        self.stands_still = True

    def monotonic(self) -> float:
        """Return the time, or the beginning of it."""
        return 0.0 if self.stands_still else super().monotonic()


async def test_reader_that_takes_its_time_is_not_told_that_nothing_moves(
    cluster: Cluster,
) -> None:
    """Only the time counts in which something was asked for; then an open transaction is told."""
    topic = cluster.create_for()
    clock = StoppedClock()
    clients, errors = Clients(settings=cluster.settings, clock=clock), KafkaErrors(cluster.settings)
    cluster.write(an_event(1))
    with cluster.transaction() as producer:
        producer.produce(topic, b"open", b"key", 0)
        producer.flush(_DEADLINE_S)
        with BoundedReader(clients, errors, topic, {0: (0, 3)}, idle_limit_s=1) as sweeping:
            while not sweeping.read(1, 0.1):
                pass
            clock.stands_still = False
            await asyncio.sleep(1.3)
            assert not sweeping.read(1, 0.1)
            with pytest.raises(LogUnavailable, match="a transaction is open"):
                offsets(sweeping)


async def test_group_has_no_other_member_meanwhile(cluster: Cluster) -> None:
    """A rebalance would stop the deliveries of every process for a moment."""
    topic = cluster.create_for()
    cluster.write(*(an_event(n) for n in range(1_000)))
    clients = Clients(settings=cluster.settings)
    subscription = Subscription(subscriber=TARGET, patterns=("salesforce.*",))
    async with cluster.following() as follower:
        await follower.read_until("999")
        await follower.settle()
        before = members(cluster)
        reading = settled_events(
            clients, KafkaAdmin(clients), subscription, {Partition(topic=topic, number=0): 0}
        )
        assert await anext(reading) == follower.entries[0]
        assert members(cluster) == before
        await reading.aclose()
        assert members(cluster) == before


async def test_brokers_that_are_gone_are_said_to_be(cluster: Cluster) -> None:
    """Within the time that is given, and not for ever."""
    [nobody] = free_ports(1)
    address = f"127.0.0.1:{nobody}"
    settings = cluster.settings.model_copy(update={"bootstrap_servers": address})

    with pytest.raises(
        LogUnavailable, match=f"the settled events of subscriber {TARGET} failed at {address} "
    ):
        async with limited("the failure"):
            await done(settings, {Partition(topic="any", number=0): 0}, retry_limit_s=0)


async def test_transaction_that_hides_the_groups_offsets_is_named(cluster: Cluster) -> None:
    """An operator is told how to find it: no reader ever gets the offsets before it has ended."""
    topic = cluster.create_for()
    cluster.write(an_event(1))
    nobody = await asyncio.to_thread(cluster.nobody)
    with cluster.transaction() as producer:
        producer.produce(topic, b"open", b"key", 0)
        producer.send_offsets_to_transaction([TopicPartition(topic, 0, 1)], nobody, _DEADLINE_S)
        with pytest.raises(LogUnavailable, match=r"find-hanging.*__consumer_offsets"):
            await done(cluster.settings, {Partition(topic=topic, number=0): 0}, retry_limit_s=0)


def swept(cluster: Cluster, topic: str, read_range: tuple[int, int], *, over_holes: bool) -> list[int]:
    """Return the offsets that a sweep of partition 0 gives out."""
    clients = Clients(settings=cluster.settings)
    with BoundedReader(
        clients, KafkaErrors(cluster.settings), topic, {0: read_range}, over_holes=over_holes
    ) as sweeping:
        return offsets(sweeping)


def offsets(sweeping: BoundedReader) -> list[int]:
    """Read to the end, and return at which offsets there was something."""
    found: list[int] = []
    while not sweeping.is_over:
        found += [message.offset() or 0 for message in sweeping.read(100, 0.1)]
    return found


def write_aborted(cluster: Cluster, *events: Event) -> None:
    """Write what never takes effect."""
    producer = Producer(
        {
            "bootstrap.servers": cluster.settings.bootstrap_servers,
            "transactional.id": f"{cluster.settings.prefix}.aborting",
        }
    )
    producer.init_transactions(_DEADLINE_S)
    producer.begin_transaction()
    for event in events:
        record = EventEncoder(cluster.names, "binary").encode(event, round(time.time() * 1000))
        producer.produce(record.topic, record.value, record.key, 0, headers=record.headers)
    producer.flush(_DEADLINE_S)
    producer.abort_transaction(_DEADLINE_S)


def cut(cluster: Cluster, topic: str, *, below: int) -> None:
    """Forget what retention would take."""
    cluster.admin.delete_records([TopicPartition(topic, 0, below)])[TopicPartition(topic, 0, below)].result()


def members(cluster: Cluster) -> tuple[str, list[str]]:
    """Return the state of the subscriber's group, and who is in it."""
    group = cluster.names.dispatch_group(TARGET)
    described = cluster.admin.describe_consumer_groups([group])[group].result()
    return described.state.name, [member.member_id for member in described.members]
