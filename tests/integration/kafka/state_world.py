"""Logs of several processes that keep states in a real Kafka, and what they leave there."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiokafka import ConsumerRecord
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from streamer.clock import SystemClock
from streamer.errors import LogUnavailable
from streamer.events import EventId, LastChange, Partition, RecordState
from streamer.log.kafka.cluster.names import Names, partition_of
from streamer.log.kafka.cluster.producer import ProducerRecord
from streamer.log.kafka.log import KafkaLog
from streamer.log.kafka.records.states import StateEncoder
from tests.contracts.follower import Follower, keeping_states
from tests.contracts.test_record_states import append_changes, change
from tests.integration.kafka.topics import own_settings, read_committed, wait_until_known
from tests.waiting import limited, until

_DEADLINE_S = 60.0
_YESTERDAY = datetime.now(UTC) - timedelta(days=1)


class StateWorld:
    """Settings of a test, under which each open log is a process of its own."""

    def __init__(self, address: str, folder: Path, *, partitions: int = 2, **settings: Any) -> None:
        """Use a prefix of the test's own, and keep local copies in `folder`."""
        unique = own_settings(address).prefix
        self.folder = folder
        self.settings = own_settings(
            address,
            state_topic=f"{unique}.state.{{name}}",
            state_directory=folder,
            partitions=partitions,
            session_timeout_s=2,
            options={"topic.metadata.refresh.interval.ms": 250},
            **settings,
        )
        self.address = address
        self.names = Names.of(self.settings)
        self.changes = self.names.changes("Account")
        self.states = self.names.state("Account")

    def open(self) -> AbstractAsyncContextManager[KafkaLog]:
        """Open the log, as a process of its own."""
        return KafkaLog.open(self.settings, SystemClock())

    @asynccontextmanager
    async def keeper(self) -> AsyncIterator[tuple[KafkaLog, Follower]]:
        """Open the log and follow it as a keeper of states."""
        async with self.open() as log, keeping_states(log) as follower:
            yield log, follower

    async def append(self, numbers: Sequence[int], ids: Sequence[str]) -> None:
        """Append a change for each record in `ids`, numbered by `numbers`."""
        async with self.open() as log:
            await append_changes(log, *map(change, numbers, ids))

    def grow(self, partitions: int) -> None:
        """Add partitions to the topic of changes."""
        admin = AdminClient({"bootstrap.servers": self.address})
        admin.create_partitions([NewPartitions(self.changes, partitions)])[self.changes].result()
        wait_until_known(self.address, self.changes, partitions=partitions)

    def delete_before(self, number: int, offset: int) -> None:
        """Delete changes before an offset, as the topic's retention does."""
        place = TopicPartition(self.changes, number, offset)
        admin = AdminClient({"bootstrap.servers": self.address})
        admin.delete_records([place])[place].result()

    async def records(self) -> list["ConsumerRecord[bytes, bytes]"]:
        """Return the committed records of the state topic, as another library reads them."""
        return await read_committed(self.address, self.states)

    def copies(self) -> list[Path]:
        """Return the files of the local copies of accounts that have records."""
        return sorted(self.folder.glob(f"*/*{self.states}*.db"))


async def fold(follower: Follower, *numbers: int) -> list[RecordState]:
    """Read the changes `numbers`, and settle the states that follow from them."""
    wanted = [*map(str, numbers)]
    await follower.read_until(*wanted)
    found = [entry for entry in follower.entries if entry.event.id in wanted]
    states = [a_state(entry.event.key, int(entry.event.id), entry.partition) for entry in found]
    await follower.settle_states(states)
    return states


def recent(number: int) -> str:
    """Return the time of the change `number`.

    A broker begins a new segment after a record that is older than a week, and can then
    compact the topic at once. So the tests that count records need a recent time.
    """
    return f"{_YESTERDAY:%Y-%m-%d}T00:{number // 60:02}:{number % 60:02}.000Z"


def a_state(record_id: str, number: int, partition: Partition) -> RecordState:
    """Return the state of an account after the change `number`."""
    return RecordState(
        entity="Account",
        record_id=record_id,
        fields={"Name": str(number)},
        last=LastChange(
            event_id=EventId(str(number)),
            time=recent(number),
            commit_number=number,
            sequence=1,
            partition=partition,
        ),
    )


@contextmanager
def left_open(state: RecordState, world: StateWorld) -> Iterator[Producer]:
    """Write a state, as a process does that stalls before its commit."""
    producer = Producer({"bootstrap.servers": world.address, "transactional.id": f"{world.states}.other"})
    producer.init_transactions(_DEADLINE_S)
    producer.begin_transaction()
    place = Partition(topic=world.states, number=partition_of(state.record_id.encode(), 2))
    (record,) = StateEncoder().encode(state, place, 2_000_000_000_000).records
    value = record.value if isinstance(record, ProducerRecord) else None
    producer.produce(record.topic, value, record.key, record.partition, headers=record.headers)
    producer.flush(_DEADLINE_S)
    yield producer


@asynccontextmanager
async def reading(follower: Follower) -> AsyncIterator[None]:
    """Let `follower` read beside the body, and continue after an outage, as the keeper does."""

    async def read() -> None:
        while True:
            with suppress(LogUnavailable):
                await follower.step()

    task = asyncio.create_task(read())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until_shared(first: Follower, second: Follower, count: int) -> None:
    """Read until each of two keeps some of `count` partitions."""
    async with reading(first), reading(second):
        await until(
            lambda: first.assigned and second.assigned and len(first.assigned) + len(second.assigned) == count
        )


async def until_assigned(follower: Follower, count: int) -> None:
    """Read until `count` partitions of accounts are assigned."""
    async with limited(f"{count} partitions"):
        while len(follower.assigned) != count:
            await follower.step()


async def names_of(log: KafkaLog, ids: Sequence[str]) -> dict[str, str]:
    """Return the names of the accounts `ids`, by id."""
    found = await log.states.of("Account", ids)
    return {record_id: state.fields["Name"] for record_id, state in found.items() if state.fields}
