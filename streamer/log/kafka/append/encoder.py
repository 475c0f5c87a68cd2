"""Encodes appends as Kafka records, and reads and writes the channels' checkpoints."""

import asyncio
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streamer.errors import ForeignRecord
from streamer.events import Channel, Checkpoint, ContinuityRecord, DeadLetter, Event, OrgId
from streamer.log.foreign_records import ForeignRecords
from streamer.log.kafka.cluster.bounded_reader import BoundedReader, bounds, undecided
from streamer.log.kafka.cluster.clients import Clients, largest_record
from streamer.log.kafka.cluster.errors import KafkaErrors, RetryPolicy
from streamer.log.kafka.cluster.names import Names, partition_of
from streamer.log.kafka.cluster.producer import (
    Content,
    ProducerRecord,
    Tombstone,
    content,
    foreign,
    set_aside,
)
from streamer.log.kafka.records.dead_letters import dead_letter_records, removed_letters
from streamer.log.kafka.records.events import (
    EventEncoder,
    Traceparent,
    continuity_message,
    decode,
    with_tombstones,
)
from streamer.log.kafka.schemas.codecs import SchemaReaders
from streamer.log.kafka.schemas.event_schemas import EntitySchemas
from streamer.log.kafka.schemas.subjects import Subjects
from streamer.log.records import decode_checkpoint, encode_checkpoint

_POLL_S = 0.1
_AT_ONCE = 1_000


@dataclass(slots=True)
class CommittedCheckpoints:
    """Newest valid checkpoint of each channel, and the foreign records by key.

    A foreign record does no harm while a valid checkpoint with the same key exists.
    """

    by_channel: dict[Channel, Checkpoint] = field(default_factory=dict)
    foreign: dict[bytes, ForeignRecord] = field(default_factory=dict)

    def apply(self, message: Message, foreign_records: ForeignRecords) -> None:
        """Apply the next record of the topic; records must come in their order."""
        checkpoint = checkpoint_of(message, foreign_records)
        if checkpoint is not None:
            self.by_channel[checkpoint.channel] = checkpoint
        elif message.value() is not None:
            self.foreign[message.key() or b""] = foreign(
                message, ValueError("the record is not a checkpoint")
            )

    def of(self, channel: Channel) -> Checkpoint | None:
        """Return the checkpoint of `channel`.

        Raises `LogMisconfigured` when only a foreign record has the key of the channel.
        In this case, compaction has removed the checkpoint, and a channel that started
        without a checkpoint would miss events.
        """
        error = self.foreign.get(str(channel).encode())
        if channel not in self.by_channel and error is not None:
            raise error
        return self.by_channel.get(channel)


class Checkpoints:
    """Assigns channels to partitions, and reads and writes their checkpoints."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._clock = clients.clock
        self._names = Names.of(clients.settings)
        self._partitions = clients.settings.checkpoint_partitions

    def partition_of(self, channel: Channel) -> int:
        """Return the partition of `channel`, which is the same in every process and version.

        Text after a `#` names a part of the channel, and does not change the
        partition.
        """
        return partition_of(str(channel).partition("#")[0].encode(), self._partitions)

    def record(self, checkpoint: Checkpoint) -> ProducerRecord:
        """Return the record that replaces the previous checkpoint of the channel."""
        return ProducerRecord(
            topic=self._names.checkpoints,
            value=encode_checkpoint(checkpoint),
            key=str(checkpoint.channel).encode(),
            partition=self.partition_of(checkpoint.channel),
            headers={"content-type": b"application/json"},
        )

    def read(self, partition: int, errors: KafkaErrors, deadline: float) -> CommittedCheckpoints:
        """Return the committed checkpoints of a partition. Blocking.

        The checkpoints are final only if the caller has called `init_transactions` with
        the partition's transactional id. A record that Streamer did not write is
        skipped and logged. Raises `LogMisconfigured` for a record of a newer Streamer,
        and otherwise `KafkaException` or `LogUnavailable`.
        """
        place = TopicPartition(self._names.checkpoints, partition)
        retry = self._clients.retry(max(0.0, deadline - self._clock.monotonic()))
        with closing(self._consumer(errors, "read_committed")) as consumer:
            begin, end = retry.call(bounds, consumer, place)
            self._wait_until_decided(place, end, retry, errors)
            if begin == end:
                return CommittedCheckpoints()
            place.offset = begin
            consumer.assign([place])
            return self._read_until(end, consumer, deadline)

    def orgs(self, errors: KafkaErrors) -> frozenset[OrgId]:
        """Return the orgs that have committed checkpoints. Blocking.

        Raises `LogMisconfigured` for a record of a newer Streamer, and otherwise
        `KafkaException` or `LogUnavailable`.
        """
        topic, orgs, retry = self._names.checkpoints, set[OrgId](), self._clients.retry()
        with closing(self._consumer(errors, "read_committed")) as consumer:
            places = [TopicPartition(topic, number) for number in range(self._partitions)]
            ranges = {place.partition: retry.call(bounds, consumer, place) for place in places}
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
            _, end = retry.call(bounds, consumer, place)
        if stable < end:
            raise undecided(place.topic, place.partition)

    def _consumer(self, errors: KafkaErrors, isolation: str) -> Consumer:
        configuration = {
            # The client requires a group id to assign partitions, although it joins no group.
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


def checkpoint_of(message: Message, foreign_records: ForeignRecords) -> Checkpoint | None:
    """Return the checkpoint in a record, or `None` for a tombstone or a foreign record.

    A foreign record is logged.
    """
    value = message.value()
    try:
        return None if value is None else decode_checkpoint(value)
    except ForeignRecord as exc:
        set_aside(foreign_records, message, exc)
        return None


# Bytes that Kafka and the headers add to a value.
_OVERHEAD_BYTES = 4 * 1024


@dataclass(slots=True, kw_only=True, eq=False)
class AppendRequest:
    """Complete append: the records of its events in order, and the records to commit with the events.

    `beside` has the records of dead letters and continuity records, and `size` is the
    size of the append in bytes. The tombstones `removed` are written before `beside`.
    When the append is queued, `answer` becomes the future that the caller awaits.
    `failures` becomes the number of the channel's failures that the event loop knows at
    that moment.
    """

    checkpoint: Checkpoint
    events: list[ProducerRecord]
    beside: Sequence[ProducerRecord]
    size: int
    removed: Sequence[Tombstone] = ()
    failures: int = 0
    answer: asyncio.Future[Any] = field(init=False)

    @property
    def channel(self) -> Channel:
        """Channel of this append."""
        return self.checkpoint.channel

    @property
    def topics(self) -> set[str]:
        """Event topics that the append needs."""
        return {record.topic for record in self.events}

    def drop(self, refused: Collection[Content], schemas: SchemaReaders) -> list[Event]:
        """Remove the events whose records are in `refused`, and return these events."""
        out = [record for record in self.events if content(record) in refused]
        if out:
            self.events[:] = [record for record in self.events if content(record) not in refused]
        return [decode(record.key, record.value, record.read_headers, schemas) for record in out]


class AppendEncoder:
    """Encodes appends, and combines several appends into one transaction."""

    def __init__(
        self, clients: Clients, checkpoints: Checkpoints, traceparent: Traceparent | None = None
    ) -> None:
        settings = clients.settings
        self.schemas = event_schemas(clients)
        self.readers = clients.schemas
        self.clock = clients.clock
        self._names = Names.of(settings)
        self._checkpoints = checkpoints
        self.event = EventEncoder(self._names, settings.content_mode, traceparent, self.schemas).encode
        self.largest = largest_record(settings) - _OVERHEAD_BYTES
        self._writes_tombstones = settings.tombstones

    def complete(
        self,
        events: list[ProducerRecord],
        size: int,
        checkpoint: Checkpoint,
        set_aside: Sequence[DeadLetter],
        continuity: Sequence[ContinuityRecord],
    ) -> AppendRequest:
        """Return the append of `events` together with its dead letters and continuity records.

        `size` is the size of the events in bytes.
        """
        beside = list(self._beside(set_aside, continuity))
        size += sum(len(record.value) for record in beside)
        return AppendRequest(checkpoint=checkpoint, events=events, beside=beside, size=size)

    def removals(self, letters: Iterable[str]) -> list[Tombstone]:
        """Return the tombstones of the dead letters with these ids."""
        return list(removed_letters(letters, self._names.dead_letters))

    def group(self, appends: Sequence[AppendRequest]) -> list[ProducerRecord | Tombstone]:
        """Return the records of all `appends` in order, and one checkpoint for each channel."""
        records: list[ProducerRecord | Tombstone] = []
        for append in appends:
            # Tombstones are added only here: so a refused deletion takes its tombstone with it.
            records += with_tombstones(append.events) if self._writes_tombstones else append.events
            # The tombstones come first: a redriven event can become a dead letter again with the
            # same id, and a later tombstone would delete this new dead letter.
            records += append.removed
            records += append.beside
        newest = {append.channel: append.checkpoint for append in appends}
        records += map(self._checkpoints.record, newest.values())
        return records

    def _beside(
        self,
        set_aside: Sequence[DeadLetter],
        continuity: Sequence[ContinuityRecord],
    ) -> Iterator[ProducerRecord]:
        for letter in set_aside:
            yield from dead_letter_records(letter, self._names.dead_letters)
        for hole in continuity:
            yield continuity_message(hole, self._names.continuity)


def event_schemas(clients: Clients) -> EntitySchemas | None:
    """Return the schemas of events; `None` if the format of the settings has no schemas."""
    subjects = Subjects.of(clients.settings, clients.schemas, Names.of(clients.settings).event_topic)
    return None if subjects is None else EntitySchemas(subjects=subjects)
