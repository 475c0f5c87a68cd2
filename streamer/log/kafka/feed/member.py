"""One consumer as a member of a subscriber's group."""

import time

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message

from streamer.log.kafka.cluster.errors import is_denied
from streamer.log.kafka.cluster.record import as_topic_partitions
from streamer.log.kafka.feed.buffer import PAGE_ENTRIES
from streamer.log.kafka.feed.context import ConsumerContext
from streamer.log.kafka.feed.initial_offsets import InitialOffsets
from streamer.log.kafka.feed.pausing import PausedPartitions
from streamer.log.kafka.feed.rebalance import Rebalance
from streamer.log.kafka.progress.commits import Commits, OffsetCommitter

_log = structlog.get_logger()

# How long a settlement may wait to be noticed; records are noticed at once.
_POLL_S = 0.05
_ROOM_S = 0.1
_ENDS_EVERY_S = 0.2
# Dead letters that wait for a settlement hold the bytes of their records.
_MAX_UNREADABLE = 500


class Member:
    """Reads what the group gives to this process, and records what was finished.

    Everything happens in the one thread that calls `turn`: no call of another
    thread on a consumer gets through while a rebalance is being dealt with.
    """

    def __init__(self, consumer: Consumer, commits: Commits, context: ConsumerContext) -> None:
        """Work with `consumer`, which has not joined its group yet, and whose commits are `commits`."""
        self._consumer = consumer
        self._commits = commits
        self._context = context
        self._buffer = context.buffer
        self._reading = context.reading
        self._pausing = PausedPartitions(consumer)
        self._rebalance = Rebalance(consumer, commits, context, self._pausing)
        self._offsets = OffsetCommitter(consumer=consumer, send=commits.send)
        self._ends_due = 0.0

    def join(self, first: InitialOffsets) -> None:
        """Settle where a new subscriber begins, then join.

        Raises `KafkaException`, `LogUnavailable`, `LogMisconfigured`.
        """
        first.settle(self._consumer, self._commits, self._context.retry)
        self._rebalance.subscribe(first)

    def turn(self) -> bool:
        """Record, read and hand over once, within a fraction of a second; returns whether anything came.

        Raises `KafkaException`, `LogUnavailable`, `LogMisconfigured`.
        """
        self._context.recorder.record(self._reading.assigned, self._offsets)
        self._commits.give_up()
        self._rebalance.restore()
        self._hold_back()
        # What is parked comes in beside, and is waited for there.
        message = self._consumer.poll(0 if self._context.restorations else _POLL_S)
        if message is not None:
            self._take_in(message)
            # The first one was waited for; what came with it is here.
            for following in self._consumer.consume(PAGE_ENTRIES - 1, 0):
                self._take_in(following)
        self._look_up_ends()
        if fresh := self._reading.take():
            self._buffer.put(fresh)
        return message is not None and message.error() is None

    def _hold_back(self) -> None:
        # A reader that is merely slower than we are makes room in a moment;
        # pausing would throw away what was fetched.
        self._buffer.wait_for_room(_ROOM_S)
        ours = self._reading.assigned
        choked = self._reading.unreadable >= _MAX_UNREADABLE
        wanted = frozenset(ours) if choked else self._buffer.held_back(ours)
        self._pausing.set(wanted, among=ours)

    def _take_in(self, message: Message) -> None:
        error = message.error()
        if error is None:
            self._reading.sort(message)
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:
            self._rebalance.go_on_after_hole(message)
        elif error.fatal() or is_denied(error):
            raise KafkaException(error)
        else:
            # librdkafka goes on trying by itself.
            _log.warning("log.troubled", subscriber=self._context.subscriber, reason=error.str())

    def _look_up_ends(self) -> None:
        """Learn where partitions end and how far we are in them.

        Records that end a transaction take up offsets and are never handed to
        us: only the consumer's position says that we are past them.
        """
        due = time.monotonic() >= self._ends_due
        if due:
            self._ends_due = time.monotonic() + _ENDS_EVERY_S
        partitions = list(self._reading.assigned) if due else self._reading.touched
        if not partitions:
            return
        positions = self._consumer.position(as_topic_partitions(partitions))
        for partition, place in zip(partitions, positions, strict=True):
            _, end = self._consumer.get_watermark_offsets(place, cached=True)
            if place.offset >= 0:
                read_range = self._reading.reached(partition, place.offset)
                read_range.end = max(read_range.end, end)
