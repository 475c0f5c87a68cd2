"""Committed offsets of newly assigned partitions."""

from collections.abc import Collection, Sequence
from contextlib import closing

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streamer.events import Partition, SettledOffsets, SubscriberName
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors, kafka_error
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.record import as_partition, as_topic_partitions
from streamer.log.kafka.cluster.retry import RetryPolicy
from streamer.log.kafka.progress.commits import Commits, committed
from streamer.log.kafka.progress.metadata import decode
from streamer.log.kafka.topics.admin import KafkaAdmin

_log = structlog.get_logger()

# librdkafka asks again while an open transaction hides the offsets, and then tells that time is over.
_HIDDEN = frozenset({KafkaError._TIMED_OUT, KafkaError.UNSTABLE_OFFSET_COMMIT})
_REMEDY = (
    "If the brokers are up, a transaction that never ended hides the group's offsets: "
    "`kafka-transactions.sh find-hanging` names it, in __consumer_offsets"
)


class CommittedOffsets:
    """Reads the committed offsets of a group, and commits the beginning of partitions without any."""

    def __init__(self, subscriber: SubscriberName, admin: KafkaAdmin, retry: RetryPolicy) -> None:
        self._subscriber = subscriber
        self._admin = admin
        self._retry = retry

    def look_up(
        self, consumer: Consumer, places: Sequence[TopicPartition]
    ) -> tuple[dict[Partition, SettledOffsets], list[TopicPartition]]:
        """Return the progress in `places`, and the beginnings of the partitions without any."""
        progress = self.stored(consumer, places)
        new = [place for place in places if as_partition(place) not in progress]
        beginnings = self.beginnings(new)
        progress |= {as_partition(place): SettledOffsets(next_offset=place.offset) for place in beginnings}
        return progress, beginnings

    def beginnings(self, places: Collection[TopicPartition]) -> list[TopicPartition]:
        """Return the first offsets of `places`.

        This asks the admin client, not a consumer, which would have to look up
        leaders: the Python client crashes the process when `list_topics` is
        called in a callback and another callback follows.
        """
        return self._retry.call(self._admin.beginnings, places)

    def stored(self, consumer: Consumer, places: Sequence[TopicPartition]) -> dict[Partition, SettledOffsets]:
        """Return the progress of those of `places` that have any; `consumer` need not be a member.

        Raises `KafkaException`.
        """
        try:
            stored = self._retry.call(committed, consumer, places)
        except KafkaException as exc:
            error = kafka_error(exc)
            if error.code() not in _HIDDEN:
                raise
            raise KafkaException(KafkaError(error.code(), f"{error.str()}. {_REMEDY}")) from exc
        return {as_partition(place): self._decoded(place) for place in stored if place.offset >= 0}

    def stored_beside(
        self, clients: Clients, errors: KafkaErrors, partitions: Collection[Partition]
    ) -> dict[Partition, SettledOffsets]:
        """Return the progress of those of `partitions` that have any, without joining the group.

        Raises `KafkaException`.
        """
        configuration = {
            "group.id": Names.of(clients.settings).dispatch_group(self._subscriber),
            "enable.auto.commit": False,
            # The broker returns an offset once the transaction that moves it is decided.
            "isolation.level": "read_committed",
        }
        with closing(clients.consumer(errors, configuration)) as consumer:
            return self.stored(consumer, as_topic_partitions(partitions))

    def commit(self, consumer: Consumer, commits: Commits, beginnings: Sequence[TopicPartition]) -> None:
        """Commit `beginnings`, so that a later loss by retention is detected."""
        commits.send(consumer, beginnings, self._committed, is_repeatable=False)

    def _decoded(self, place: TopicPartition) -> SettledOffsets:
        try:
            return decode(place.offset, place.metadata)
        except ValueError as exc:
            _log.warning(
                "progress.partly_unreadable",
                subscriber=self._subscriber,
                topic=place.topic,
                partition=place.partition,
                reason=str(exc),
            )
            return SettledOffsets(next_offset=place.offset)

    def _committed(self, error: KafkaError | None) -> None:
        if error is not None:
            _log.warning("progress.not_recorded", subscriber=self._subscriber, reason=error.str())
