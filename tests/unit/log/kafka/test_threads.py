"""An unexpected error in a thread of the Kafka log reaches everyone who waits for it."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka import Consumer

from streamer.clock import SystemClock
from streamer.events import Channel, Checkpoint, SubscriberName
from streamer.log.kafka.append.encoder import AppendEncoder, Checkpoints
from streamer.log.kafka.append.membership import Membership
from streamer.log.kafka.append.session import PartitionSession
from streamer.log.kafka.append.writer import PartitionWriter
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors
from streamer.log.kafka.control.watch import ControlWatch
from streamer.log.kafka.feed.buffer import FeedBuffer
from streamer.log.kafka.feed.context import LogContext
from streamer.log.kafka.feed.decoder import RecordDecoder
from streamer.log.kafka.feed.feed import follow
from streamer.log.kafka.feed.partition_reader import PartitionReader
from streamer.log.kafka.schemas.codecs import SchemaReaders
from streamer.log.kafka.states.states import KafkaStates
from streamer.log.kafka.topics.provisioner import TopicProvisioner
from streamer.observe.process import Pulses
from streamer.ports import Subscription
from streamer.settings import KafkaLogSettings
from tests.contracts.values import ORG, an_append
from tests.waiting import limited, until

CHANNEL = Channel(org=ORG, path="/event/A__e")
SETTINGS = KafkaLogSettings(bootstrap_servers="127.0.0.1:9")
SUBSCRIPTION = Subscription(subscriber=SubscriberName("copy"), patterns=("**",))


class Bug(Exception):
    """Error that no one has thought of."""


class BrokenClients(Clients):
    """Makes no client, because of a bug."""

    def checked_consumer(self, *_: Any, **__: Any) -> Any:
        """Fail."""
        raise Bug


class BrokenSession(PartitionSession):
    """Fails, and fails again when it is closed."""

    def __init__(self) -> None:
        """Need nothing."""
        self.closed = 0

    def committed(self, *_: Any) -> Checkpoint | None:
        """Know nothing of a channel."""
        return None

    def write(self, *_: Any) -> None:
        """Fail."""
        raise Bug

    def close(self) -> None:
        """Fail."""
        self.closed += 1
        raise Bug


class BrokenConsumer(Consumer):
    """Fails when it is polled."""

    def poll(self, *_: Any) -> Any:
        """Fail."""
        raise Bug


class KnownTopics(TopicProvisioner):
    """Needs no broker."""

    def ensure(self, *_: Any) -> None:
        """Find all topics."""


@pytest.fixture
def pulses() -> Pulses:
    """Pulses of the test."""
    return Pulses(SystemClock())


async def test_bug_in_the_membership_ends_the_wait_for_a_share(pulses: Pulses) -> None:
    """The daemon stops with it, and its log can be closed."""
    clients = BrokenClients(settings=SETTINGS)
    membership = Membership(clients, grace_s=1.0, pulses=pulses)
    async with limited("the error"):
        for _ in range(2):
            with pytest.raises(Bug):
                await membership.share(after=0)
        await membership.close()
    assert not membership.is_in


async def test_bug_in_a_writer_reaches_those_who_wait_and_those_who_come_later(pulses: Pulses) -> None:
    """None of them waits for ever, and the writer can be closed."""
    clients = Clients(settings=SETTINGS)
    encoder = AppendEncoder(clients, Checkpoints(clients))
    topics = KnownTopics(clients)
    append = encoder.complete([], 0, replace(an_append().checkpoint, channel=CHANNEL), [], [])
    session = BrokenSession()
    writer = PartitionWriter("writer", session, encoder, topics, SETTINGS, pulses=pulses)
    async with limited("the error"):
        assert await writer.checkpoint(CHANNEL) is None
        with pytest.raises(Bug):
            await writer.append(append)
        with pytest.raises(Bug):
            await writer.checkpoint(CHANNEL)
        await writer.close()
    # After the failed append, and at the end of the thread.
    assert session.closed == 2


async def test_bug_in_the_watch_of_the_controls_reaches_each_watcher(pulses: Pulses) -> None:
    """Every watcher raises it, and the watch can be closed."""
    watch = ControlWatch(BrokenClients(settings=SETTINGS), pulses)
    async with limited("the error"):
        for _ in range(2):
            with pytest.raises(Bug):
                await anext(watch.boards())
        await watch.close()


async def test_bug_in_the_thread_of_a_member_ends_the_wait_for_its_feed(pulses: Pulses) -> None:
    """The daemon stops with it, and the thread has ended."""
    clients = BrokenClients(settings=SETTINGS)
    topics = TopicProvisioner(clients)
    states = KafkaStates(clients, topics)
    context = LogContext(clients=clients, topics=topics, pulses=pulses, states=states)
    async with limited("the error"):
        with pytest.raises(Bug):
            async with follow(context, SUBSCRIPTION):
                pass
    assert pulses.beats() == {}


async def test_bug_in_the_thread_of_a_reader_reaches_its_member(pulses: Pulses) -> None:
    """The member raises it, and the reader can be closed."""
    reader = PartitionReader(
        consumer=BrokenConsumer({"bootstrap.servers": "127.0.0.1:9", "group.id": "g", "log_level": 0}),
        buffer=FeedBuffer(),
        decoder=RecordDecoder(SUBSCRIPTION, SystemClock(), SchemaReaders()),
        errors=KafkaErrors(SETTINGS),
        clock=SystemClock(),
        pulses=pulses,
    )
    with pytest.raises(Bug):
        await until(reader.missing_offset)
    await asyncio.to_thread(reader.close)
