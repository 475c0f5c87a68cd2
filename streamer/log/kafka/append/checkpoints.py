"""Channels' checkpoints in a compacted topic."""

import time
from contextlib import closing
from dataclasses import dataclass, field

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streamer.clock import Clock
from streamer.errors import ForeignRecord
from streamer.events import Channel, Checkpoint, OrgId
from streamer.log.foreign_records import ForeignRecords
from streamer.log.kafka.cluster.bounded_reader import BoundedReader, undecided
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.partitioner import partition_of
from streamer.log.kafka.cluster.record import ProducerRecord, foreign, set_aside
from streamer.log.kafka.cluster.retry import RetryPolicy
from streamer.log.records import decode_checkpoint, encode_checkpoint

_POLL_S = 0.1
_AT_ONCE = 1_000
_CALL_S = 5.0


@dataclass(slots=True)
class CommittedCheckpoints:
    """Newest sound checkpoint of each channel, and the foreign records by their keys.

    A foreign record costs its key nothing while a sound one of the key is left.
    """

    by_channel: dict[Channel, Checkpoint] = field(default_factory=dict)
    foreign: dict[bytes, ForeignRecord] = field(default_factory=dict)

    def apply(self, message: Message, foreign_records: ForeignRecords) -> None:
        """Apply a record of the topic, in their order."""
        checkpoint = checkpoint_of(message, foreign_records)
        if checkpoint is not None:
            self.by_channel[checkpoint.channel] = checkpoint
        elif message.value() is not None:
            self.foreign[message.key() or b""] = foreign(message, ValueError("it is not a checkpoint"))

    def of(self, channel: Channel) -> Checkpoint | None:
        """Return the checkpoint of `channel`.

        Raises `LogMisconfigured` when only a foreign record of its key is left:
        compaction has removed the checkpoint, and a channel that began again
        would leave a hole.
        """
        error = self.foreign.get(str(channel).encode())
        if channel not in self.by_channel and error is not None:
            raise error
        return self.by_channel.get(channel)


class Checkpoints:
    """Assigns channels to partitions, and reads and writes their checkpoints."""

    def __init__(self, clients: Clients, clock: Clock) -> None:
        self._clients = clients
        self._clock = clock
        self._names = Names.of(clients.settings)
        self._partitions = clients.settings.checkpoint_partitions

    def partition_of(self, channel: Channel) -> int:
        """Return the partition of `channel`, which is the same in every process and version.

        Text after a `#` does not count: it names a part of the channel.
        """
        return partition_of(str(channel).partition("#")[0].encode(), self._partitions)

    def record(self, checkpoint: Checkpoint) -> ProducerRecord:
        """Return the record that replaces the channel's former checkpoint."""
        return ProducerRecord(
            topic=self._names.checkpoints,
            value=encode_checkpoint(checkpoint),
            key=str(checkpoint.channel).encode(),
            partition=self.partition_of(checkpoint.channel),
            headers={"content-type": b"application/json"},
        )

    def read(self, partition: int, errors: KafkaErrors, deadline: float) -> CommittedCheckpoints:
        """Return the committed checkpoints of a partition. Blocking.

        They are certain if `init_transactions` of the partition's transactional
        id was called before. A record that Streamer did not write is set aside.
        Raises `KafkaException`, `LogUnavailable`, and `LogMisconfigured` for a
        record of a newer Streamer.
        """
        place = TopicPartition(self._names.checkpoints, partition)
        left_s = max(0.0, deadline - self._clock.monotonic())
        retry = RetryPolicy(limit_s=left_s, wait=time.sleep, is_over=lambda: False)
        with closing(self._consumer(errors, "read_committed")) as consumer:
            begin, end = retry.call(lambda: _bounds(consumer, place))
            self._wait_until_decided(place, end, retry, errors)
            if begin == end:
                return CommittedCheckpoints()
            place.offset = begin
            consumer.assign([place])
            return self._read_until(end, consumer, deadline)

    def orgs(self, errors: KafkaErrors) -> frozenset[OrgId]:
        """Return the orgs that have committed checkpoints. Blocking.

        Raises `KafkaException`, `LogUnavailable`, and `LogMisconfigured` for a
        record of a newer Streamer.
        """
        topic, orgs = self._names.checkpoints, set[OrgId]()
        with closing(self._consumer(errors, "read_committed")) as consumer:
            places = [TopicPartition(topic, number) for number in range(self._partitions)]
            ranges = {place.partition: _bounds(consumer, place) for place in places}
        with BoundedReader(self._clients, errors, topic, ranges) as reader:
            while not reader.is_over:
                for message in reader.read(_AT_ONCE, _POLL_S):
                    if (checkpoint := checkpoint_of(message, self._clients.foreign)) is not None:
                        orgs.add(checkpoint.channel.org)
        return frozenset(orgs)

    def _wait_until_decided(
        self, place: TopicPartition, stable: int, retry: RetryPolicy, errors: KafkaErrors
    ) -> None:
        with closing(self._consumer(errors, "read_uncommitted")) as consumer:
            _, end = retry.call(lambda: _bounds(consumer, place))
        if stable < end:
            raise undecided(place.topic, place.partition)

    def _consumer(self, errors: KafkaErrors, isolation: str) -> Consumer:
        configuration = {
            # The client requires a group id to assign partitions; it joins no group.
            "group.id": self._names.ingest_group,
            "isolation.level": isolation,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "fetch.wait.max.ms": 50,
        }
        return self._clients.consumer(errors, configuration)

    def _read_until(self, end: int, consumer: Consumer, deadline: float) -> CommittedCheckpoints:
        newest = CommittedCheckpoints()
        while self._clock.monotonic() < deadline:
            message = consumer.poll(_POLL_S)
            if message is None:
                continue
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
            if error is None:
                newest.apply(message, self._clients.foreign)
            # Transaction markers occupy offsets too, so the last message can come before the end.
            elif (message.offset() or 0) >= end:
                return newest
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))


def _bounds(consumer: Consumer, place: TopicPartition) -> tuple[int, int]:
    """Return the begin and the end offset of a partition.

    A newly elected leader knows the replicated end only after a moment, and a
    fetch before that can end too early. This request is not answered before the
    leader knows the end.
    """
    begin, end = consumer.get_watermark_offsets(place, timeout=_CALL_S)
    return begin, end


def checkpoint_of(message: Message, foreign_records: ForeignRecords) -> Checkpoint | None:
    """Return the checkpoint in a record, `None` for a tombstone; a foreign record is set aside."""
    value = message.value()
    try:
        return None if value is None else decode_checkpoint(value)
    except ForeignRecord as exc:
        set_aside(foreign_records, message, exc)
        return None
