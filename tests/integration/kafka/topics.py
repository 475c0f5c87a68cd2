"""Topics of a test: prepared, and read by a client of another library."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from streamer.errors import LogUnavailable
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.topics.provisioner import TopicProvisioner
from streamer.settings import KafkaLogSettings
from tests.waiting import LIMIT_S, block_until, limited


def own_settings(address: str, **settings: Any) -> KafkaLogSettings:
    """Return settings under a prefix, and with topics, of the test's own."""
    unique = uuid.uuid4().hex[:8]
    defaults = {"prefix": f"test-{unique}", "topic": f"t{unique}.{{kind}}.{{name}}", "partitions": 2}
    return KafkaLogSettings.model_validate({"bootstrap_servers": address, **defaults, **settings})


def warm_up(address: str) -> None:
    """Open a log until brokers that have just started are ready for one.

    They create the topics of their own transactions and groups on first use.
    """
    settings = own_settings(address)
    give_up_at = time.monotonic() + LIMIT_S
    while True:
        try:
            return TopicProvisioner(Clients(settings=settings)).prepare()
        except LogUnavailable:
            if time.monotonic() > give_up_at:
                raise


def make_topic(address: str, name: str, *, partitions: int = 1, **config: str) -> None:
    """Create a topic as an operator would; underscores in a setting's name stand for dots."""
    admin = AdminClient({"bootstrap.servers": address})
    settings = {key.replace("_", "."): value for key, value in config.items()}
    admin.create_topics([NewTopic(name, partitions, config=settings)])[name].result()
    wait_until_known(address, name, partitions=partitions)


def wait_until_known(address: str, topic: str, *, partitions: int) -> None:
    """Return once every node at `address` knows a topic that one of them has created."""
    for node in address.split(","):
        admin = AdminClient({"bootstrap.servers": node})
        block_until(partial(_knows, admin, topic, partitions))


def _knows(admin: AdminClient, topic: str, partitions: int) -> bool:
    return len(admin.list_topics(topic, timeout=LIMIT_S).topics[topic].partitions) >= partitions


async def read_committed(address: str, topic: str) -> list["ConsumerRecord[bytes, bytes]"]:
    """Return the committed records of a topic as a downstream service reads them, by partition and offset.

    A transaction is visible a moment after its commit was answered, so this
    reads on to the end that a `read_uncommitted` reader sees.
    """
    found: list[ConsumerRecord[bytes, bytes]] = []
    async with limited(f"the records of {topic}"), _reading(address, topic, "read_uncommitted") as everything:
        ends = await everything.end_offsets(everything.assignment())
        async with _reading(address, topic, "read_committed") as consumer:
            while any([await consumer.position(place) < end for place, end in ends.items()]):
                for records in (await consumer.getmany(timeout_ms=20)).values():
                    found += records
    return sorted(found, key=lambda record: (record.partition, record.offset))


@asynccontextmanager
async def _reading(address: str, topic: str, isolation: str) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=address, isolation_level=isolation, auto_offset_reset="earliest"
    )
    async with consumer:
        while not consumer.assignment():  # noqa: ASYNC110 - it has no other way to say that it is ready
            await asyncio.sleep(0.02)
        yield consumer


async def ids(address: str, topic: str) -> list[str]:
    """Return the ids of the events of a topic, as committed."""
    return [dict(record.headers)["ce_id"].decode() for record in await read_committed(address, topic)]
