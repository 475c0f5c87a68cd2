"""An unexpected error in a thread of the Kafka log reaches everyone who waits for it."""

from dataclasses import replace
from typing import Any

import pytest

from streamer.clock import SystemClock
from streamer.events import Channel, Checkpoint
from streamer.log.kafka.append.encoder import AppendEncoder, Checkpoints
from streamer.log.kafka.append.membership import Membership
from streamer.log.kafka.append.session import PartitionSession
from streamer.log.kafka.append.writer import PartitionWriter
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.topics.provisioner import TopicProvisioner
from streamer.observe.process import Pulses
from streamer.settings import KafkaLogSettings
from tests.contracts.values import ORG, an_append
from tests.waiting import limited

CHANNEL = Channel(org=ORG, path="/event/A__e")
SETTINGS = KafkaLogSettings(bootstrap_servers="127.0.0.1:9")


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

    def committed(self, *_: Any) -> Checkpoint | None:
        """Know nothing of a channel."""
        return None

    def write(self, *_: Any) -> None:
        """Fail."""
        raise Bug

    def close(self) -> None:
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
    membership = Membership(clients, clock=SystemClock(), grace_s=1.0, pulses=pulses)
    async with limited("the error"):
        for _ in range(2):
            with pytest.raises(Bug):
                await membership.share(after=0)
        await membership.close()
    assert not membership.is_in


async def test_bug_in_a_writer_reaches_those_who_wait_and_those_who_come_later(pulses: Pulses) -> None:
    """None of them waits for ever, and the writer can be closed."""
    clients = Clients(settings=SETTINGS)
    encoder = AppendEncoder(SETTINGS, Checkpoints(clients, SystemClock()))
    topics = KnownTopics(clients, SystemClock())
    append = encoder.complete([], 0, replace(an_append().checkpoint, channel=CHANNEL), [], [])
    writer = PartitionWriter("writer", BrokenSession(), encoder, topics, SETTINGS, pulses=pulses)
    async with limited("the error"):
        assert await writer.checkpoint(CHANNEL) is None
        with pytest.raises(Bug):
            await writer.append(append)
        with pytest.raises(Bug):
            await writer.checkpoint(CHANNEL)
        await writer.close()
