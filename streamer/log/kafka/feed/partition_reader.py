"""Consumer without a group that fetches the assigned partitions in its own thread."""

import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streamer.clock import Clock
from streamer.errors import LogUnavailable
from streamer.events import Partition
from streamer.log.kafka.cluster.errors import KafkaErrors, is_denied
from streamer.log.kafka.cluster.producer import as_topic_partitions
from streamer.log.kafka.feed.buffer import PAGE_ENTRIES, FeedBuffer
from streamer.log.kafka.feed.decoder import ReadPartition, RecordDecoder
from streamer.observe.process import Pulse, Pulses
from streamer.observe.service_thread import ServiceThread

_log = structlog.get_logger()


class PausedPartitions:
    """Pauses partitions of one consumer, and resumes them at the same offset."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self.held: frozenset[Partition] = frozenset()

    def set(self, wanted: frozenset[Partition]) -> None:
        """Pause the partitions in `wanted`, and resume all other paused partitions."""
        if new := wanted - self.held:
            self._consumer.pause(as_topic_partitions(new))
        self.release(self.held - wanted)
        self.held = wanted

    def release(self, partitions: Collection[Partition]) -> None:
        """Resume the paused partitions in `partitions`."""
        if held := self.held.intersection(partitions):
            self._consumer.resume(as_topic_partitions(held))
            self.held -= held


# Longest delay before the reader notices a change of the partitions; it notices a record at once.
_POLL_S = 0.05
_ENDS_EVERY_S = 0.2
_LOOK_S = 2.0
_SCHEMA_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingOffset:
    """Offset that an assignment asked for, but that is not in the log."""

    partition: Partition
    assignment: int
    offset: int


class PartitionReader:
    """Reads ahead of the loop as far as the buffer has room.

    The group member only adds and removes partitions, and never fetches. So its commits
    are confirmed at once and do not wait behind fetched records. The member also
    continues to poll if the loop takes no entries for a long time.

    In addition to the buffer, librdkafka fetches until its own queue is full
    (`queued.max.messages.kbytes`). A brief pause of the loop does not empty this queue,
    so the next events of a resumed partition are already in memory.

    The member calls the methods that are defined up to `close`. The reader's thread
    applies these calls in order, within a fraction of a second. The buffer drops
    records that were read in the meantime under an earlier assignment.
    """

    def __init__(
        self,
        consumer: Consumer,
        buffer: FeedBuffer,
        decoder: RecordDecoder,
        errors: KafkaErrors,
        clock: Clock,
        pulses: Pulses,
    ) -> None:
        """Start the thread, which reads with `consumer` the partitions that `begin` adds."""
        self._consumer = consumer
        self._buffer = buffer
        self._decoder = decoder
        self._errors = errors
        self._clock = clock
        self._pausing = PausedPartitions(consumer)
        self._changes: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._missing: SimpleQueue[MissingOffset] = SimpleQueue()
        self._failure: Exception | None = None
        self._known_topics: frozenset[str] = frozenset()
        self._ends_due = 0.0
        self._closing = threading.Event()
        self._thread = ServiceThread(
            f"read {decoder.subscriber}", self._serve, pulses=pulses, failed=self._fail, loop=buffer.loop
        )
        self._thread.start()

    def begin(self, read_partition: ReadPartition, offset: int) -> None:
        """Read a partition from `offset` on, even if the reader already reads it at another offset."""
        self._changes.put(lambda: self._begin(read_partition, offset))

    def end(self, partition: Partition) -> None:
        """Stop reading a partition."""
        self._changes.put(lambda: self._end(partition))

    def missing_offset(self) -> MissingOffset | None:
        """Return a requested offset that is not in the log, or `None`; its partition is not read further.

        Raises the error that ended the thread.
        """
        if self._failure is not None:
            raise self._failure
        try:
            return self._missing.get_nowait()
        except Empty:
            return None

    def close(self) -> None:
        """End the thread and close the consumer."""
        self._closing.set()
        self._thread.join_from_thread()
        self._consumer.close()

    def _fail(self, error: Exception) -> None:
        self._failure = error

    # On the thread.

    def _serve(self, pulse: Pulse) -> None:
        while not (self._closing.is_set() or self._buffer.closing):
            pulse.beat()
            self._turn()

    def _turn(self) -> None:
        while not self._changes.empty():
            self._changes.get()()
        if not self._buffer.wait_for_room(_POLL_S):
            return
        self._pausing.set(self._buffer.held_back(self._pausing.held).intersection(self._decoder.partitions))
        message = self._consumer.poll(_POLL_S)
        if message is not None:
            self._take_in(message)
            # The call above waits for the first message; the messages fetched with it are in
            # memory already.
            for following in self._consumer.consume(PAGE_ENTRIES - 1, 0):
                self._take_in(following)
        self._look_up_ends()
        if fresh := self._decoder.take():
            self._buffer.put(fresh)

    def _begin(self, read_partition: ReadPartition, offset: int) -> None:
        partition = read_partition.partition
        # After a failure, a partition can't seek; it must be assigned again.
        self._end(partition)
        self._find_leader(partition.topic)
        self._decoder.begin(read_partition)
        self._consumer.incremental_assign([_place(partition, offset)])
        self._decoder.reached(partition, offset)

    def _end(self, partition: Partition) -> None:
        if partition in self._decoder.partitions:
            self._decoder.end(partition)
            # librdkafka keeps a partition paused even when it is assigned again.
            self._pausing.release([partition])
            self._consumer.incremental_unassign([_place(partition)])

    def _find_leader(self, topic: str) -> None:
        # Without this request, a consumer without a group takes up to a second to begin.
        if topic not in self._known_topics:
            with suppress(KafkaException):
                self._known_topics = frozenset(self._consumer.list_topics(timeout=_LOOK_S).topics)

    def _take_in(self, message: Message) -> None:
        error = message.error()
        if error is None:
            # The broker answers again, so earlier errors have ended.
            self._errors.clear()
            self._decode(message)
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:
            self._report(message)
        elif error.fatal() or is_denied(error):
            raise KafkaException(error)
        else:
            # librdkafka retries on its own.
            _log.warning("log.troubled", subscriber=self._decoder.subscriber, reason=error.str())

    def _decode(self, message: Message) -> None:
        """Decode a record; wait for the schema registry if it does not give the record's schema now.

        Leaving the group would move the partitions to a process that has to wait too.
        """
        while not (self._closing.is_set() or self._buffer.closing):
            try:
                self._decoder.sort(message)
            except LogUnavailable as error:
                # The readers of schemas log the begin and the end of an outage.
                _log.debug("log.schema_awaited", subscriber=self._decoder.subscriber, reason=str(error))
                self._closing.wait(_SCHEMA_PAUSE_S)
                self._thread.pulse.beat()
            else:
                return

    def _report(self, message: Message) -> None:
        if read_partition := self._decoder.find(message):
            self._missing.put(
                MissingOffset(
                    partition=read_partition.partition,
                    assignment=read_partition.assignment,
                    offset=message.offset() or 0,
                )
            )

    def _look_up_ends(self) -> None:
        """Look up the end of each partition, and the consumer's position in it.

        Transaction markers occupy offsets, but a consumer never returns these markers.
        Only the position of the consumer shows that it has passed them.
        """
        now = self._clock.monotonic()
        due = now >= self._ends_due
        if due:
            self._ends_due = now + _ENDS_EVERY_S
        partitions = self._decoder.partitions if due else self._decoder.touched
        if not partitions:
            return
        positions = self._consumer.position(as_topic_partitions(partitions))
        for partition, place in zip(partitions, positions, strict=True):
            _, end = self._consumer.get_watermark_offsets(place, cached=True)
            if place.offset >= 0:
                self._decoder.reached(partition, place.offset, end)


def _place(partition: Partition, *offset: Any) -> TopicPartition:
    return TopicPartition(partition.topic, partition.number, *offset)
