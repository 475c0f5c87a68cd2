"""The time to rebuild copies of a state topic: `python -m tests.bench.bench_state_rebuild [RECORDS]`."""

import asyncio
import multiprocessing
import os
import resource
import sys
import tempfile
import time
import uuid
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from confluent_kafka import Producer

from streamer.clock import SystemClock
from streamer.events import EventId, LastChange, Partition, RecordState
from streamer.log.kafka.cluster.names import Names, partition_of
from streamer.log.kafka.cluster.producer import ProducerRecord
from streamer.log.kafka.log import KafkaLog
from streamer.log.kafka.records.states import StateEncoder
from streamer.settings import KafkaLogSettings
from tests.bench.events import record_id
from tests.contracts.follower import keeping_states
from tests.integration.kafka.topics import make_topic
from tools.kafka.broker import STEADY, Broker
from tools.kafka.server import FULL_SPEED

_RECORDS = 1_000_000
_PARTITIONS = 6


def a_state(number: int) -> RecordState:
    """Return the state of an account with some fields."""
    return RecordState(
        entity="Account",
        record_id=record_id(number, _RECORDS),
        fields={
            "Name": f"Account {number}",
            "Phone": f"+49 30 {number}",
            "Rating": "Hot",
            "Employees": number,
        },
        last=LastChange(
            event_id=EventId(str(number)),
            time="2025-01-01T00:00:00.000Z",
            commit_number=number,
            sequence=1,
            partition=Partition(topic="changes", number=0),
        ),
    )


def write(settings: KafkaLogSettings, records: int) -> int:
    """Write so many states to their topic; return the size of their values in bytes."""
    topic, size = Names.of(settings).state("Account"), 0
    producer = Producer({"bootstrap.servers": settings.bootstrap_servers, "compression.type": "lz4"})
    for number in range(records):
        state = a_state(number)
        place = Partition(topic=topic, number=partition_of(state.record_id.encode(), _PARTITIONS))
        (record,) = StateEncoder().encode(state, place, 2_000_000_000_000).records
        assert isinstance(record, ProducerRecord)
        size += len(record.value)
        while True:
            try:
                producer.produce(
                    record.topic, record.value, record.key, record.partition, headers=record.headers
                )
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    producer.flush()
    return size


async def rebuild(settings: KafkaLogSettings) -> tuple[float, float, int]:
    """Open a keeper without copies; return the wall and processor time, and the records that it read."""
    cpu, wall = time.process_time(), time.perf_counter()
    async with KafkaLog.open(settings, SystemClock()) as log, keeping_states(log) as follower:
        while len(follower.assigned) < _PARTITIONS:
            await follower.step()
        taken = time.perf_counter() - wall, time.process_time() - cpu
        [read] = [each.records for each in log.states.rebuilds if each.topic.endswith("Account")]
    return *taken, read


def measure(bootstrap: str, records: int) -> None:
    """Print the figures of a rebuild, and of a restart with the copies that it left."""
    name = f"bench-{uuid.uuid4().hex[:8]}"
    with tempfile.TemporaryDirectory() as folder:
        settings = KafkaLogSettings(
            bootstrap_servers=bootstrap,
            prefix=name,
            topic=f"{name}.{{kind}}.{{name}}",
            state_topic=f"{name}.state.{{name}}",
            state_directory=Path(folder),
        )
        make_topic(bootstrap, Names.of(settings).changes("Account"), partitions=_PARTITIONS)
        make_topic(
            bootstrap, Names.of(settings).state("Account"),
            partitions=_PARTITIONS, cleanup_policy="compact", max_message_bytes="4194304",
        )  # fmt: skip
        # The writer's memory does not count.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as writer:
            size = writer.submit(write, settings, records).result()
        for what in ("without copies", "with copies"):
            wall, cpu, read = asyncio.run(rebuild(settings))
            kept = sum(each.stat().st_size for each in Path(folder).rglob("*.db"))
            most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            sys.stdout.write(
                f"{what}: {read} records ({size / 1e6:.0f} MB) read in {wall:.1f} s, {cpu:.1f} s of CPU, "
                f"{read / wall:.0f} records/s; files {kept / 1e6:.0f} MB; most memory {most:.0f} MB\n"
            )


def main() -> None:
    """Measure on the broker that STREAMER_KAFKA names, or on one of our own."""
    records = int(sys.argv[1]) if len(sys.argv) > 1 else _RECORDS
    if address := os.environ.get("STREAMER_KAFKA"):
        measure(address, records)
        return
    with Broker(settings=STEADY, java_options=FULL_SPEED) as broker:
        measure(broker.bootstrap, records)


if __name__ == "__main__":
    main()
