"""The log in a real Kafka, under a prefix of the test's own."""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, closing
from typing import cast

from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition

from streamer.clock import SystemClock
from streamer.events import ContinuityRecord, DeadLetter, Event
from streamer.log.kafka import KafkaLog
from streamer.log.kafka.dead_letters import dead_letters
from streamer.log.kafka.encoding import Headers
from streamer.log.kafka.names import Names
from streamer.log.records import decode_continuity
from streamer.settings import KafkaLogSettings
from tests.contracts.values import an_event

_DEADLINE_S = 15.0


class KafkaWorld:
    """Topics of our own on a broker that others use too."""

    def __init__(self, address: str) -> None:
        """Choose a prefix that nobody has."""
        unique = uuid.uuid4().hex[:8]
        self._settings = KafkaLogSettings(
            bootstrap_servers=address,
            prefix=f"test-{unique}",
            topic=f"t{unique}.{{kind}}.{{name}}",
            partitions=2,
            # A new topic is found this fast.
            options={"topic.metadata.refresh.interval.ms": 250},
        )
        self._names = Names.of(self._settings)

    def open(self) -> AbstractAsyncContextManager[KafkaLog]:
        """Connect."""
        return KafkaLog.open(self._settings, SystemClock())

    def refused_event(self) -> Event:
        """Return an event that is larger than a topic takes."""
        return an_event("refused", data={"entity": "Account", "fields": {"Name": "x" * 5 * 1024 * 1024}})

    async def dead_letters(self) -> Sequence[DeadLetter]:
        """Read them as anyone would."""
        return read_dead_letters(self._settings.bootstrap_servers, self._names.dead_letters)

    async def continuity(self) -> Sequence[ContinuityRecord]:
        """Read them as anyone would."""
        messages = read_committed(self._settings.bootstrap_servers, self._names.continuity)
        return [decode_continuity(message.value() or b"") for message in messages]


def read_dead_letters(address: str, topic: str) -> list[DeadLetter]:
    """Return what was set aside, the latest of each id."""
    messages = read_committed(address, topic)
    return list(dead_letters((message.value(), cast("Headers", message.headers())) for message in messages))


def read_committed(address: str, topic: str) -> list[Message]:
    """Return what a reader of committed records finds in a topic of one partition."""
    reader = Consumer(
        {
            "bootstrap.servers": address,
            "group.id": "unused",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,
        }
    )
    with closing(reader):
        reader.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        return list(_until_the_end(reader))


def _until_the_end(reader: Consumer) -> Iterator[Message]:
    while True:
        message = reader.poll(_DEADLINE_S)
        assert message is not None
        if message.error():
            return
        yield message
