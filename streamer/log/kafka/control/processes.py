"""Records by which processes show their states to each other, in a topic that is kept for an hour."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence

from confluent_kafka import Message, TopicPartition

from streamer.errors import ForeignRecord, LogMisconfigured, StreamerError
from streamer.log.kafka.cluster.bounded_reader import BoundedReader
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.producer import ProducerRecord, set_aside
from streamer.log.kafka.control.controls import ControlWriter
from streamer.log.kafka.topics.provisioner import TopicProvisioner
from streamer.log.records import decode_process_record, encode_process_record
from streamer.ports import ProcessRecord, ProcessRecordKind

_WRITE_S = 3.0
_IDLE_S = 3.0
_AT_ONCE = 500
_POLL_S = 0.5
# Each kind has a partition, so that a reader of samples reads no states, which are larger.
_PARTITIONS = {kind: number for number, kind in enumerate(ProcessRecordKind)}
# Ten minutes of states, or an hour of samples, from 50 processes.
_MOST_RECORDS = 3_000


class KafkaProcessRecords:
    """Records of the processes that share one Kafka log.

    A producer of their own writes them, so that an operator's order never waits for
    one. The first call creates the topic.
    """

    def __init__(self, clients: Clients, topics: TopicProvisioner) -> None:
        """Connect on demand."""
        self._clients = clients
        self._topics = topics
        self._topic = Names.of(clients.settings).processes
        self._writer = ControlWriter(clients, deadline_s=_WRITE_S)

    async def report(self, record: ProcessRecord, /) -> None:
        """Write a record."""
        await asyncio.to_thread(self._topics.ensure_processes)
        value, key = encode_process_record(record), record.instance.encode()
        headers: dict[str, str | bytes | None] = {"content-type": b"application/json"}
        number, at_ms = _PARTITIONS[record.kind], round(record.at * 1000)
        try:
            await self._writer.write(
                [ProducerRecord(self._topic, value, key, number, headers, timestamp_ms=at_ms)]
            )
        except StreamerError:
            # Somebody can have removed the topic.
            self._topics.forget([self._topic])
            raise

    async def newest(self, *, since: float) -> Sequence[ProcessRecord]:
        """Return the newest state of each process that has not ended."""
        return await asyncio.to_thread(self._newest, since)

    async def samples(self, *, since: float) -> Sequence[ProcessRecord]:
        """Return the samples since `since`."""
        return await asyncio.to_thread(self._samples, since)

    async def close(self) -> None:
        """Finish the pending write."""
        await self._writer.close()

    def _newest(self, since: float) -> Sequence[ProcessRecord]:
        # Only the last record of each process costs memory and a decoding.
        newest = {message.key(): message for message in self._read(ProcessRecordKind.STATE, since)}
        return [each for each in self._decoded(newest.values(), since) if each.body is not None]

    def _samples(self, since: float) -> Sequence[ProcessRecord]:
        return [*self._decoded(self._read(ProcessRecordKind.SAMPLE, since), since)]

    def _read(self, kind: ProcessRecordKind, since: float) -> Iterator[Message]:
        self._topics.ensure_processes()
        errors = KafkaErrors(self._clients.settings)
        place = TopicPartition(self._topic, _PARTITIONS[kind])
        with errors.explained(doing="reading", subject=f"topic {self._topic}"):
            # A new topic's leader can be unknown for a moment.
            begin, end = self._clients.retry().call(self._topics.admin.range_since, place, since)
            ranges = {place.partition: (max(begin, end - _MOST_RECORDS), end)}
            if begin == end:
                return
            with BoundedReader(
                self._clients, errors, self._topic, ranges, over_holes=True, idle_limit_s=_IDLE_S
            ) as reader:
                while not reader.is_over:
                    yield from reader.read(_AT_ONCE, _POLL_S)

    def _decoded(self, messages: Iterable[Message], since: float) -> Iterator[ProcessRecord]:
        for message in messages:
            try:
                record = decode_process_record(message.value() or b"")
            except ForeignRecord as exc:
                set_aside(self._clients.foreign, message, exc)
            except LogMisconfigured:
                # A newer Streamer wrote the record.
                continue
            else:
                if record.at >= since:
                    yield record
