"""Initial offsets of a new subscriber."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

from streamer.errors import LogUnavailable
from streamer.events import Start
from streamer.log.kafka.cluster.errors import kafka_error
from streamer.log.kafka.cluster.retry import RetryPolicy
from streamer.log.kafka.progress.commits import Commits, checked, committed
from streamer.log.kafka.topics.patterns import matching

_CALL_TIMEOUT_S = 5.0

_GROUP_IS_BUSY = frozenset(
    {KafkaError.UNKNOWN_MEMBER_ID, KafkaError.ILLEGAL_GENERATION, KafkaError.REBALANCE_IN_PROGRESS}
)


class EnsureTopics(Protocol):
    """Ensures that the topics exist which are a subscriber's own."""

    def __call__(self, *, has_begun: bool) -> None:
        """Check the topics, or create them; that of parked events only if it has not begun."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class InitialOffsets:
    """Resolves `start` into committed offsets, once in the life of a consumer group.

    A partition without an offset afterwards is a new one, and is read from its
    beginning. `marker`, a partition that always exists and is never read, gets
    an offset too. It proves that the subscriber has begun, even if no partition
    existed then. `ensure_topics` gets `has_begun`: whether the subscriber's
    parked topic must exist already.
    """

    start: Start | datetime
    topics: Sequence[str]
    is_internal: Callable[[str], bool]
    marker: TopicPartition
    ensure_topics: EnsureTopics

    def settle(self, consumer: Consumer, commits: Commits, retry: RetryPolicy) -> None:
        """Commit the first offsets unless the group has any; `consumer` has not joined it yet.

        Raises `KafkaException`, `LogUnavailable`, `LogMisconfigured`.
        """
        try:
            # Another process of this subscriber can commit them first.
            replace(retry, can_pass=_is_busy).call(self._settle, consumer, commits, retry)
        except KafkaException as exc:
            if not _is_busy(exc):
                raise
            raise LogUnavailable(
                "the start of a subscriber could not be settled: its group is busy, try again"
            ) from exc

    def _settle(self, consumer: Consumer, commits: Commits, retry: RetryPolicy) -> None:
        partitions = retry.call(self._partitions, consumer)
        has_begun = retry.call(_is_known, consumer, [self.marker, *partitions])
        # The topics come before the first offsets, so that these always imply them.
        self.ensure_topics(has_begun=has_begun)
        if not has_begun:
            offsets = retry.call(self._offsets, consumer, partitions)
            retry.call(commits.wait_for, consumer, [self.marker, *offsets])

    def _partitions(self, consumer: Consumer) -> list[TopicPartition]:
        topics = consumer.list_topics(timeout=_CALL_TIMEOUT_S).topics
        return [
            TopicPartition(name, number)
            for name in matching(topics, self.topics)
            if not self.is_internal(name)
            for number in topics[name].partitions
        ]

    def _offsets(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        match self.start:
            case datetime() as moment:
                return _offsets_at(consumer, partitions, moment)
            case Start.EARLIEST:
                return look_up(consumer, partitions, OFFSET_BEGINNING)
            case Start.LATEST:
                return look_up(consumer, partitions, OFFSET_END)


def look_up(consumer: Consumer, partitions: Sequence[TopicPartition], what: int) -> list[TopicPartition]:
    """Return the offsets of `what`: `OFFSET_BEGINNING`, `OFFSET_END` or a time in milliseconds.

    The end covers committed transactions only. Raises `KafkaException`.
    """
    if not partitions:
        return []
    asked = [TopicPartition(each.topic, each.partition, what) for each in partitions]
    try:
        return checked(consumer.offsets_for_times(asked, timeout=_CALL_TIMEOUT_S))
    except KafkaException:
        # The consumer keeps asking the leaders that it knows; this refreshes them.
        with suppress(KafkaException):
            for topic in {each.topic for each in asked}:
                consumer.list_topics(topic, timeout=_CALL_TIMEOUT_S)
        raise


def _is_busy(error: Exception) -> bool:
    return isinstance(error, KafkaException) and kafka_error(error).code() in _GROUP_IS_BUSY


def _is_known(consumer: Consumer, partitions: Sequence[TopicPartition]) -> bool:
    return any(partition.offset >= 0 for partition in committed(consumer, partitions))


def _offsets_at(
    consumer: Consumer, partitions: Sequence[TopicPartition], moment: datetime
) -> list[TopicPartition]:
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    found = look_up(consumer, partitions, round(aware.timestamp() * 1000))
    # If no record is that late, the next record is the first one.
    beyond = look_up(consumer, [each for each in found if each.offset < 0], OFFSET_END)
    return [each for each in found if each.offset >= 0] + beyond
