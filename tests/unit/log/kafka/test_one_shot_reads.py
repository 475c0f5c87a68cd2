"""Reads that are made once are repeated while a partition or a group has just moved to another broker."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streamer.clock import TurnedClock
from streamer.errors import LogUnavailable
from streamer.log.kafka.append.encoder import Checkpoints
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors
from streamer.log.kafka.control.controls import KafkaControls
from streamer.log.kafka.history.history import KafkaHistory
from streamer.log.kafka.history.own_topics import OwnTopics
from streamer.log.kafka.topics.admin import KafkaAdmin, TopicState
from streamer.observe.process import Pulses
from streamer.settings import KafkaLogSettings
from tests.waiting import limited

SETTINGS = KafkaLogSettings(bootstrap_servers="127.0.0.1:9", checkpoint_partitions=2)


@dataclass
class MovedBroker:
    """Refuses each question `refusals` times before it answers."""

    code: int
    refusals: int = 2
    asked: list[object] = field(default_factory=list)
    clock: TurnedClock = field(default_factory=TurnedClock)

    def answer(self, question: object) -> None:
        """Refuse a question that was asked too seldom."""
        self.asked.append(question)
        if self.asked.count(question) <= self.refusals:
            raise KafkaException(KafkaError(self.code))

    def clients(self) -> Clients:
        """Return clients that wait by turning the clock."""
        return MovedClients(settings=SETTINGS, clock=self.clock, pause=self.clock.jump, broker=self)


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedClients(Clients):
    """Clients of a `MovedBroker`, whose partitions are empty."""

    broker: MovedBroker

    def consumer(self, *_: Any) -> Consumer:
        """Return a consumer that asks the broker for the ends of partitions."""
        broker = self.broker

        class Asking(Consumer):
            def get_watermark_offsets(self, partition: TopicPartition, *_: Any, **__: Any) -> tuple[int, int]:
                broker.answer(partition.partition)
                return 0, 0

            def list_topics(self, topic: str | None = None, *_: Any, **__: Any) -> None:
                broker.asked.append(topic)

        return Asking({"bootstrap.servers": "127.0.0.1:9", "group.id": "g", "log_level": 0})


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> MovedBroker:
    """Broker that refuses the admin client."""
    broker = MovedBroker(KafkaError.NOT_LEADER_FOR_PARTITION)

    def bounds(_: KafkaAdmin, topic: str, partitions: Any) -> dict[int, tuple[int, int]]:
        broker.answer(topic)
        return dict.fromkeys(partitions, (0, 0))

    def owners(_: KafkaAdmin, group: str, topic: str) -> dict[int, str]:
        broker.answer((group, topic))
        return {}

    monkeypatch.setattr(KafkaAdmin, "bounds", bounds)
    monkeypatch.setattr(KafkaAdmin, "owners", owners)
    monkeypatch.setattr(KafkaAdmin, "cluster", lambda _: SimpleNamespace(topics={}))
    return broker


def test_orgs_of_all_checkpoints_are_read_from_new_leaders(moved: MovedBroker) -> None:
    """Each partition is asked again, and the client looks up its leader before that."""
    clients = moved.clients()

    assert Checkpoints(clients).orgs(KafkaErrors(SETTINGS)) == frozenset()
    topic = "streamer.checkpoints"
    assert moved.asked == [0, topic, 0, topic, 0, 1, topic, 1, topic, 1]


async def audit(clients: Clients) -> object:
    """Read the audit records."""
    return await KafkaControls(clients, KafkaAdmin(clients), Pulses(clients.clock)).audit(last=5)


async def stored_checkpoints(clients: Clients) -> object:
    """Read the checkpoints with their owners."""
    return await KafkaHistory(clients).stored_checkpoints()


async def foreign_records(clients: Clients) -> object:
    """Look for foreign records."""
    topic = TopicState(name="streamer.audit", partitions=1)
    return OwnTopics(clients).foreign_records([topic])


@pytest.mark.parametrize("read", [audit, stored_checkpoints, foreign_records])
async def test_one_refusal_does_not_fail_a_reading(
    moved: MovedBroker, read: Callable[[Clients], Awaitable[object]]
) -> None:
    """Operators need not ask again."""
    async with limited("the reading"):
        assert await read(moved.clients()) == []
    assert len(moved.asked) == 3


@pytest.mark.parametrize("read", [audit, stored_checkpoints, foreign_records])
async def test_refusals_that_go_on_fail_a_reading(
    moved: MovedBroker, read: Callable[[Clients], Awaitable[object]]
) -> None:
    """The caller is told once the time is over."""
    moved.refusals = 10_000
    async with limited("the reading"):
        with pytest.raises(LogUnavailable, match="Not leader for partition"):
            await read(moved.clients())
