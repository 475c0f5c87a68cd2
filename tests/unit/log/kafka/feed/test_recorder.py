"""Recorder of settlements, and brokers that refuse its member of the group."""

import pytest
from confluent_kafka import Consumer, KafkaError

from streamer.clock import TurnedClock
from streamer.errors import LogUnavailable
from streamer.events import Partition, SettledOffsets, SubscriberName
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.feed.buffer import FeedBuffer
from streamer.log.kafka.feed.settled_events import Recorder
from streamer.log.kafka.progress.assignment import AssignedPartition
from streamer.log.kafka.progress.commits import OffsetCommitter, send_at_once
from streamer.log.kafka.progress.settler import KafkaSettler
from streamer.ports import Settlement
from streamer.settings import KafkaLogSettings

PARTITION = Partition(topic="salesforce.cdc.Account", number=0)
SETTLEMENT = Settlement(assignment=1, progress={PARTITION: SettledOffsets(next_offset=1)})
TARGET = SubscriberName("shipment")
MOST_S = 10.0


class RefusedSettler(KafkaSettler):
    """Settler whose transactions fail with `code`."""

    code = KafkaError.UNKNOWN_MEMBER_ID

    def _write(self, *_: object) -> dict[bytes, int]:
        raise self._reason(KafkaError(self.code))


class Recording:
    """Recorder with one settlement that no broker records."""

    def __init__(self) -> None:
        """Ask for the settlement."""
        self.clock = TurnedClock()
        clients = Clients(settings=KafkaLogSettings(bootstrap_servers="localhost:1"), clock=self.clock)
        self.settler = RefusedSettler(clients, TARGET, receipts=True)
        buffer = FeedBuffer()
        self.recorder = Recorder(TARGET, buffer, self.settler, self.clock, most_refused_s=MOST_S)
        self.asked = buffer.ask(SETTLEMENT)
        consumer = Consumer({"bootstrap.servers": "localhost:1", "group.id": "shipment"})
        self.offsets = OffsetCommitter(consumer=consumer, send=send_at_once)
        self.assigned = {
            PARTITION: AssignedPartition(partition=PARTITION, assignment=1, settled_above=frozenset())
        }

    async def record_for(self, seconds: float) -> None:
        """Try again and again to record for so long."""
        for _ in range(round(seconds)):
            self.recorder.record(self.assigned, self.offsets)
            await self.clock.turn(1)


async def test_member_that_brokers_refuse_for_long_joins_again() -> None:
    """The client reports no lost partition, so the member would try for ever."""
    recording = Recording()
    await recording.record_for(MOST_S)
    assert not recording.asked.done()

    with pytest.raises(LogUnavailable, match="joins the group again"):
        await recording.record_for(2)


async def test_refusals_are_counted_from_the_last_other_answer() -> None:
    """A broker that is away refuses no member."""
    recording = Recording()
    await recording.record_for(MOST_S - 1)
    recording.settler.code = KafkaError.REQUEST_TIMED_OUT
    await recording.record_for(10 * MOST_S)
    recording.settler.code = KafkaError.ILLEGAL_GENERATION
    await recording.record_for(MOST_S)

    assert not recording.asked.done()
