"""Members that leave their group."""

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager

from confluent_kafka import Consumer, ConsumerGroupState
from confluent_kafka.admin import AdminClient

from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors
from streamer.settings import KafkaLogSettings
from tests.integration.kafka.topics import make_topic, own_settings
from tests.waiting import until

# Long beside the time within which a member must be gone.
_SESSION_MS = 120_000


async def test_member_without_partitions_leaves_at_once(kafka: str) -> None:
    """A group would wait for it, and move nothing, until its session ends."""
    settings = own_settings(kafka)
    make_topic(kafka, settings.prefix)
    admin = AdminClient({"bootstrap.servers": kafka})

    async def shares() -> list[int]:
        asked = admin.describe_consumer_groups([settings.prefix])
        group = await asyncio.wrap_future(asked[settings.prefix])
        found = sorted(len(member.assignment.topic_partitions) for member in group.members)
        return found if group.state is ConsumerGroupState.STABLE else []

    with _member(settings) as first:

        async def is_alone() -> bool:
            first.poll(0.05)
            return await shares() == [1]

        await until(is_alone)
        with _member(settings) as second:

            async def both_are_in() -> bool:
                first.poll(0.05)
                second.poll(0.05)
                return await shares() == [0, 1]

            await until(both_are_in)

        await until(is_alone)


@contextmanager
def _member(settings: KafkaLogSettings) -> Iterator[Consumer]:
    with closing(_consumer(settings)) as consumer:
        consumer.subscribe([settings.prefix])
        yield consumer


def _consumer(settings: KafkaLogSettings) -> Consumer:
    clients = Clients(settings=settings)
    return clients.checked_consumer(
        KafkaErrors(settings),
        {
            "group.id": settings.prefix,
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": _SESSION_MS,
            "heartbeat.interval.ms": 500,
        },
        name="member",
    )
