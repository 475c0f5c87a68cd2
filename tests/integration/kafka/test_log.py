"""Ingest on a real broker: large events pass, and events that are too large do not stop the channel."""

from uuid import uuid4

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from streamer.clock import SystemClock
from streamer.errors import LogUnavailable
from streamer.events import Checkpoint, Start
from streamer.ingest.positions import Positioning
from streamer.ingest.reading import MessageReader
from streamer.ingest.reading.quarantine import Quarantine
from streamer.ingest.relay import ChannelLog, Ingest
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.log import KafkaLog
from streamer.normalise import normaliser_for
from streamer.observe.metrics import Metrics
from streamer.salesforce.memory import MemorySource
from streamer.settings import KafkaLogSettings
from tests.contracts.kafka_world import read_committed, read_dead_letters
from tests.messages import CHANGES, batch, change


def settings(address: str) -> KafkaLogSettings:
    """Return settings whose names nobody else uses."""
    unique = uuid4().hex[:8]
    return KafkaLogSettings(
        bootstrap_servers=address, prefix=f"test-{unique}", topic=f"t{unique}.{{kind}}.{{name}}", partitions=1
    )


async def relayed(log: KafkaLog, *messages: dict[str, object]) -> Checkpoint | None:
    """Relay `messages` as one batch of the channel, and return the checkpoint after it."""
    clock = SystemClock()
    await Ingest(
        source=MemorySource({CHANGES.path: [batch(*messages)]}),
        log=ChannelLog(channel=CHANGES, log=log, clock=clock, observer=Metrics(clock=clock).channel(CHANGES)),
        messages=MessageReader(
            channel=CHANGES, normalise=normaliser_for(CHANGES), quarantine=Quarantine(clock=clock)
        ),
        positioning=Positioning(channel=CHANGES, clock=clock, start=Start.EARLIEST),
    ).run()
    return await log.checkpoint(CHANGES)


def small_topic(address: str, name: str) -> None:
    """Make a topic that takes no record above 10,000 bytes."""
    topic = NewTopic(name, 1, config={"max.message.bytes": "10000", "compression.type": "producer"})
    admin = AdminClient({"bootstrap.servers": address})
    for outcome in admin.create_topics([topic]).values():
        outcome.result()


def incompressible(size: int) -> str:
    """Return a text that no codec makes small."""
    return "".join(uuid4().hex for _ in range(size // 32))


async def test_event_that_the_broker_refuses_is_a_dead_letter_and_the_channel_goes_on(kafka: str) -> None:
    """Its neighbours are appended, and the checkpoint passes it in the transaction of the dead letter."""
    at = settings(kafka)
    names = Names.of(at)
    topic = names.event_topic("salesforce.cdc.Account.updated")
    small_topic(kafka, topic)
    text = incompressible(50_000)
    async with KafkaLog.open(at, SystemClock()) as log:
        checkpoint = await relayed(log, change(1, "001A"), change(2, "001B", Text__c=text), change(3, "001C"))

    assert [record.key() for record in read_committed(kafka, topic)] == [b"001A", b"001C"]
    (letter,) = read_dead_letters(kafka, names.dead_letters)
    assert letter.reason == "refused_by_log"
    assert text.encode() in letter.raw
    assert checkpoint is not None
    assert checkpoint.open_replay_id == b"3"


async def test_event_of_a_megabyte_passes(kafka: str) -> None:
    """Salesforce's largest event is not too large for the topics that we make."""
    at = settings(kafka)
    async with KafkaLog.open(at, SystemClock()) as log:
        await relayed(log, change(1, "001A", Text__c=incompressible(1_000_000)))

    topic = Names.of(at).event_topic("salesforce.cdc.Account.updated")
    assert [record.key() for record in read_committed(kafka, topic)] == [b"001A"]


async def test_closed_log_gives_no_states(kafka: str) -> None:
    """A look-up that comes too late fails like any look-up in an outage."""
    async with KafkaLog.open(settings(kafka), SystemClock()) as log:
        states = log.states

    with pytest.raises(LogUnavailable, match="the log is closed"):
        await states.of("Account", ["001"])
