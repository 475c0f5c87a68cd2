"""Commits of a group's offsets, with a time limit, and the reader of the committed offsets."""

import math
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import dataclass

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streamer.clock import Clock
from streamer.events import Partition, SettledOffsets, SubscriberName
from streamer.log.kafka.cluster.bounded_reader import checked
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors, RetryPolicy, kafka_error
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.producer import as_partition, as_topic_partitions
from streamer.log.kafka.progress.metadata import decode
from streamer.log.kafka.topics.admin import KafkaAdmin

_LIMIT_S = 10.0
_POLL_S = 0.1
_CALL_TIMEOUT_S = 5.0
_LOOK_S = 1.0

Outcome = Callable[[KafkaError | None], None]
"""Callback with the result of a commit: an error, or `None` if the commit succeeded."""
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class OffsetCommitter:
    """Access to the offsets of a consumer's group; the function `send` commits offsets."""

    consumer: Consumer
    send: Callable[[Consumer, Sequence[TopicPartition], Outcome], None]

    def commit(self, offsets: Sequence[TopicPartition], outcome: Outcome) -> None:
        """Commit `offsets`; `outcome` receives the result, now or later."""
        self.send(self.consumer, offsets, outcome)

    def committed(self, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        """Wait briefly for the committed offsets, and return these offsets, negative if there are none.

        Raises `KafkaException`.
        """
        return committed(self.consumer, partitions, timeout_s=_LOOK_S)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Waiting:
    places: tuple[TopicPartition, ...]
    give_up_at: float
    outcome: Outcome
    is_repeatable: bool


class Commits:
    """Sends commits, and reports the result of each commit.

    While a broker is frozen, librdkafka's synchronous commit waits without a limit.
    Here, the result arrives while the consumer is polled.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: list[_Waiting] = []
        self.sent_at = -math.inf
        """Time of the last commit, in seconds of the monotonic clock."""

    @property
    def are_waiting(self) -> bool:
        """True while at least one commit is not confirmed."""
        return bool(self._waiting)

    def send(
        self,
        consumer: Consumer,
        offsets: Sequence[TopicPartition],
        outcome: Outcome,
        *,
        is_repeatable: bool = True,
    ) -> None:
        """Commit `offsets`; `outcome` gets the result when the consumer is polled, or from `give_up`.

        The caller sets `is_repeatable` to false if another commit can follow before
        this commit is confirmed.
        """
        self.sent_at = self._clock.monotonic()
        waiting = _Waiting(
            places=tuple(offsets),
            give_up_at=self.sent_at + _LIMIT_S,
            outcome=outcome,
            is_repeatable=is_repeatable,
        )
        self._waiting.append(waiting)
        try:
            consumer.commit(offsets=list(offsets), asynchronous=True)
        except KafkaException as exc:
            self._waiting.remove(waiting)
            outcome(kafka_error(exc))

    def confirm(self, error: KafkaError | None, partitions: Sequence[TopicPartition]) -> None:
        """Report the result of a commit; librdkafka calls this method as `on_commit`."""
        identity = _identity(partitions)
        error = error or next((each.error for each in partitions if each.error is not None), None)
        # After `give_up`, nobody waits for a late result.
        for waiting in [each for each in self._waiting if _identity(each.places) == identity]:
            self._waiting.remove(waiting)
            waiting.outcome(error)

    def repeat_at_once(self, consumer: Consumer) -> None:
        """Send unconfirmed commits again, and report their results without polling.

        A rebalance needs this method. Otherwise, the results would arrive only after
        the rebalance. But the rebalance can be waiting for callers that wait for these
        results.
        """
        repeated = [each for each in self._waiting if each.is_repeatable]
        for waiting in repeated:
            self._waiting.remove(waiting)
            send_at_once(consumer, waiting.places, waiting.outcome)

    def give_up(self, *, all_of_them: bool = False) -> None:
        """Report a time-out to each caller that has waited too long.

        The commit of such a caller can have succeeded or failed.
        """
        now = self._clock.monotonic()
        for waiting in [each for each in self._waiting if all_of_them or each.give_up_at <= now]:
            self._waiting.remove(waiting)
            waiting.outcome(KafkaError(KafkaError._TIMED_OUT))

    def wait_for(self, consumer: Consumer, offsets: Sequence[TopicPartition]) -> None:
        """Commit with a `consumer` that reads nothing yet, and wait for the result.

        Raises `KafkaException`.
        """
        outcomes: list[KafkaError | None] = []
        self.send(consumer, offsets, outcomes.append)
        while not outcomes:
            consumer.poll(_POLL_S)
            self.give_up()
        if outcomes[0] is not None:
            raise KafkaException(outcomes[0])


def send_at_once(consumer: Consumer, offsets: Sequence[TopicPartition], outcome: Outcome) -> None:
    """Commit during a rebalance, when polling brings no results, and wait for the result."""
    try:
        answers = consumer.commit(offsets=list(offsets), asynchronous=False)
    except KafkaException as exc:
        outcome(kafka_error(exc))
    else:
        outcome(next((answer.error for answer in answers if answer.error is not None), None))


def committed(
    consumer: Consumer, partitions: Sequence[TopicPartition], *, timeout_s: float = _CALL_TIMEOUT_S
) -> list[TopicPartition]:
    """Return the group's committed offsets, negative if there are none; raises `KafkaException`."""
    return checked(consumer.committed(list(partitions), timeout=timeout_s))


def _identity(offsets: Sequence[TopicPartition]) -> frozenset[tuple[str, int, int]]:
    return frozenset((each.topic, each.partition, each.offset) for each in offsets)


# While an open transaction hides the offsets, librdkafka asks again, and then reports a time-out.
_HIDDEN = frozenset({KafkaError._TIMED_OUT, KafkaError.UNSTABLE_OFFSET_COMMIT})
_REMEDY = (
    "If the brokers are up, a transaction that never ended hides the group's offsets: run "
    "`kafka-transactions.sh find-hanging`, and look for the topic __consumer_offsets in the output"
)


class CommittedOffsets:
    """Reads the committed offsets of a group, and commits the first offset of a new partition."""

    def __init__(self, subscriber: SubscriberName, admin: KafkaAdmin, retry: RetryPolicy) -> None:
        self._subscriber = subscriber
        self._admin = admin
        self._retry = retry

    def look_up(
        self, consumer: Consumer, places: Sequence[TopicPartition]
    ) -> tuple[dict[Partition, SettledOffsets], list[TopicPartition]]:
        """Return the progress in `places`, and the first offsets of the partitions without progress."""
        progress = self.stored(consumer, places)
        new = [place for place in places if as_partition(place) not in progress]
        beginnings = self.beginnings(new)
        progress |= {as_partition(place): SettledOffsets(next_offset=place.offset) for place in beginnings}
        return progress, beginnings

    def beginnings(self, places: Collection[TopicPartition]) -> list[TopicPartition]:
        """Return the first offsets of `places`.

        The admin client requests the offsets, because a consumer would have to look up
        leaders with `list_topics`. When `list_topics` is called in a callback and
        another callback follows, the Python client crashes the process.
        """
        return self._retry.call(self._admin.beginnings, places)

    def stored(self, consumer: Consumer, places: Sequence[TopicPartition]) -> dict[Partition, SettledOffsets]:
        """Return the progress of the `places` that have progress; `consumer` need not be in the group.

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
        """Return the progress of the `partitions` that have progress, without joining the group.

        Raises `KafkaException`.
        """
        configuration = {
            "group.id": Names.of(clients.settings).dispatch_group(self._subscriber),
            "enable.auto.commit": False,
            # With this setting, the broker returns an offset only when no open transaction
            # moves it.
            "isolation.level": "read_committed",
        }
        with closing(clients.consumer(errors, configuration)) as consumer:
            return self.stored(consumer, as_topic_partitions(partitions))

    def commit(self, consumer: Consumer, commits: Commits, beginnings: Sequence[TopicPartition]) -> None:
        """Commit `beginnings`, so that a later loss of events by retention is detected."""
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
