"""One consumer as a member of a subscriber's group."""

import time

import structlog
from confluent_kafka import Consumer, KafkaException, Message

from streamer.log.kafka.cluster.errors import is_denied
from streamer.log.kafka.feed.context import ConsumerContext
from streamer.log.kafka.feed.initial_offsets import InitialOffsets
from streamer.log.kafka.feed.partition_reader import PartitionReader
from streamer.log.kafka.feed.rebalance import Rebalance
from streamer.log.kafka.progress.commits import Commits, OffsetCommitter

_log = structlog.get_logger()

# How long a rebalance may wait to be noticed; settlements are noticed at once.
_TURN_S = 0.05
# A commit costs as much as two deliveries. What is finished within so many seconds
# goes in one, and a crash repeats it beside what was in flight.
_COMMIT_S = 0.004
# How long the confirmation of a commit may wait to be noticed after that.
_CONFIRMATION_S = 0.001


class Member:
    """Takes and gives up partitions as the group says, and records what was finished.

    Everything happens in the one thread that calls `turn`: no call of another
    thread on a consumer gets through while a rebalance is being dealt with.
    """

    def __init__(
        self, consumer: Consumer, reader: PartitionReader, commits: Commits, context: ConsumerContext
    ) -> None:
        """Work with `consumer`, which has not joined its group yet, and whose commits are `commits`.

        What it is given `reader` reads.
        """
        self._consumer = consumer
        self._reader = reader
        self._commits = commits
        self._context = context
        self._rebalance = Rebalance(consumer, reader, commits, context)
        self._offsets = OffsetCommitter(consumer=consumer, send=commits.send)

    def join(self, first: InitialOffsets) -> None:
        """Settle where a new subscriber begins, then join.

        Raises `KafkaException`, `LogUnavailable`, `LogMisconfigured`.
        """
        first.settle(self._consumer, self._commits, self._context.retry)
        self._rebalance.subscribe(first)

    def turn(self) -> None:
        """Record and deal with what the group says once, within a fraction of a second.

        Raises `KafkaException`, `LogUnavailable`, `LogMisconfigured`.
        """
        self._context.recorder.record(self._context.assigned, self._offsets)
        self._commits.give_up()
        self._rebalance.restore()
        while missing := self._reader.missing_offset():
            self._rebalance.go_on_after_hole(missing)
        self._check(self._consumer.poll(self._wait_s()))

    def _wait_s(self) -> float:
        """Wait for a settlement; return how long to wait for the group instead."""
        if self._commits.are_waiting:
            # Nothing else is asked for before they are confirmed, and then all that is finished by then.
            self._context.buffer.wait(self._commits.sent_at + _COMMIT_S - time.monotonic())
            return _CONFIRMATION_S
        if not self._context.restorations:
            self._context.buffer.wait_for_settlement(_TURN_S)
        # What is parked comes in beside, and is waited for there.
        return 0

    def _check(self, message: Message | None) -> None:
        error = None if message is None else message.error()
        if error is None:
            return
        if error.fatal() or is_denied(error):
            raise KafkaException(error)
        # librdkafka goes on trying by itself.
        _log.warning("log.troubled", subscriber=self._context.subscriber, reason=error.str())
