"""An independent reader of committed events.

`python -m tests.bench.ingest.committed_reader KAFKA TOPIC COUNT` prints `ready`, and
reads the next COUNT committed events. For each event, it prints the milliseconds from
the commit in Salesforce until the event could be read, as JSON.
"""

import asyncio
import sys
import time
from datetime import datetime

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

_DEADLINE_S = 60.0


async def read(kafka: str, topic: str, count: int) -> list[float]:
    """Return the latencies of the next `count` events, in milliseconds."""
    async with AIOKafkaConsumer(
        topic, bootstrap_servers=kafka, isolation_level="read_committed", auto_offset_reset="latest"
    ) as consumer:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        await consumer.seek_to_end(*partitions)
        for partition in partitions:
            await consumer.position(partition)
        print("ready", flush=True)  # noqa: T201 - the parent waits for it
        latencies: list[float] = []
        async with asyncio.timeout(_DEADLINE_S):
            while len(latencies) < count:
                record = await consumer.getone()
                committed = datetime.fromisoformat(dict(record.headers)["ce_time"].decode())
                latencies.append((time.time() - committed.timestamp()) * 1000)
        return latencies


if __name__ == "__main__":
    _, address, name, number = sys.argv
    print(orjson.dumps(asyncio.run(read(address, name, int(number)))).decode())  # noqa: T201 - its result
