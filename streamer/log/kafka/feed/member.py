"""Member of a subscriber's consumer group."""

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message

from streamer.log.kafka.cluster.errors import is_denied
from streamer.log.kafka.feed.context import ConsumerContext
from streamer.log.kafka.feed.partition_reader import PartitionReader
from streamer.log.kafka.feed.rebalance import InitialOffsets, Rebalance
from streamer.log.kafka.progress.commits import Commits, OffsetCommitter
from streamer.log.kafka.topics.specs import matching

_log = structlog.get_logger()

# Longest delay before the member notices a rebalance; the member notices a settlement at once.
_TURN_S = 0.05
# A commit costs as much as two deliveries. Events that finish within this time share one
# commit. After a crash, these events are delivered again, like the events in flight.
_COMMIT_S = 0.004
# Longest additional delay before the member notices the confirmation of a commit.
_CONFIRMATION_S = 0.001


class GroupMember:
    """Takes over and releases partitions as the group decides, and records progress.

    All work happens in the thread that calls `turn`, because a consumer blocks
    calls of other threads during a rebalance.
    """

    def __init__(
        self, consumer: Consumer, reader: PartitionReader, commits: Commits, context: ConsumerContext
    ) -> None:
        """Use `consumer`, which has not joined its group yet; the member sends its commits by `commits`.

        `reader` fetches the assigned partitions.
        """
        self._consumer = consumer
        self._reader = reader
        self._commits = commits
        self._context = context
        self._rebalance = Rebalance(consumer, reader, commits, context)
        self._offsets = OffsetCommitter(consumer=consumer, send=commits.send)

    def join(self, first: InitialOffsets) -> None:
        """Commit the initial offsets of a new subscriber, then join.

        Raises `KafkaException`, `LogUnavailable`, `LogMisconfigured`.
        """
        first.settle(self._consumer, self._commits, self._context.retry)
        self._rebalance.subscribe(first)

    def turn(self) -> None:
        """Do one turn: record the pending settlements, and process the group's events.

        Raises `KafkaException`, `LogUnavailable`, `LogMisconfigured`.
        """
        self._context.recorder.record(self._context.assigned, self._offsets)
        self._commits.give_up()
        self._rebalance.restore()
        self._rebalance.share_wait.report()
        while missing := self._reader.missing_offset():
            self._rebalance.go_on_after_hole(missing)
        self._check(self._consumer.poll(self._wait_s()))

    def _wait_s(self) -> float:
        """Wait for a settlement; return how many seconds to wait for the group afterwards."""
        if self._commits.are_waiting:
            # The loop settles nothing more before the confirmation, and then settles all
            # finished events at once.
            due_at = self._commits.sent_at + _COMMIT_S
            self._context.buffer.wait(due_at - self._context.clock.monotonic())
            return _CONFIRMATION_S
        if not self._context.restorations:
            self._context.buffer.wait_for_settlement(_TURN_S)
        # Restorations run in parallel and wait for their own records.
        return 0

    def _check(self, message: Message | None) -> None:
        if message is None or (error := message.error()) is None:
            return
        if error.fatal() or is_denied(error):
            raise KafkaException(error)
        if self._is_awaited(message, error):
            _log.debug("log.topic_awaited", subscriber=self._context.subscriber, reason=error.str())
            return
        # librdkafka retries on its own.
        _log.warning("log.troubled", subscriber=self._context.subscriber, reason=error.str())

    def _is_awaited(self, message: Message, error: KafkaError) -> bool:
        """Return whether `error` says only that no topic exists yet for an expression.

        The first event then creates such a topic.
        """
        expression = message.topic()
        if error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART or expression is None:
            return False
        return not any(matching(self._context.assigned.known_topics, [expression]))
