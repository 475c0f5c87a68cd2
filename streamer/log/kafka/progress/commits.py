"""A consumer's commits, each confirmed or given up in bounded time."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streamer.log.kafka.cluster.errors import kafka_error

_LIMIT_S = 10.0
_POLL_S = 0.1
_CALL_TIMEOUT_S = 5.0
_LOOK_S = 1.0

Outcome = Callable[[KafkaError | None], None]
"""Told what came of a commit; without an error it is in the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OffsetCommitter:
    """The offsets of a consumer's group, and how they are committed at the moment."""

    consumer: Consumer
    send: Callable[[Consumer, Sequence[TopicPartition], Outcome], None]

    def commit(self, offsets: Sequence[TopicPartition], outcome: Outcome) -> None:
        """Commit `offsets`; `outcome` is told what came of it, now or later."""
        self.send(self.consumer, offsets, outcome)

    def committed(self, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        """Look for a moment what is committed, negative where nothing is. Raises `KafkaException`."""
        return committed(self.consumer, partitions, timeout_s=_LOOK_S)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Waiting:
    places: tuple[TopicPartition, ...]
    give_up_at: float
    outcome: Outcome
    is_repeatable: bool


class Commits:
    """Sends commits and hears what came of them.

    librdkafka's own way to wait for a commit waits for as long as a broker is
    frozen. Whoever polls the consumer is told here instead.
    """

    def __init__(self) -> None:
        self._waiting: list[_Waiting] = []
        self.sent_at = -math.inf
        """When the last one was sent, in monotonic seconds."""

    @property
    def are_waiting(self) -> bool:
        """Whether a commit is on its way."""
        return bool(self._waiting)

    def send(
        self,
        consumer: Consumer,
        offsets: Sequence[TopicPartition],
        outcome: Outcome,
        *,
        is_repeatable: bool = True,
    ) -> None:
        """Commit `offsets`; `outcome` is called while the consumer is polled, or by `give_up`.

        What others may be committed after, before it is confirmed, is not repeatable.
        """
        self.sent_at = time.monotonic()
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
        """Pass on what came of a commit; librdkafka calls this as its `on_commit`."""
        identity = _identity(partitions)
        error = error or next((each.error for each in partitions if each.error is not None), None)
        # One that comes after it was given up is nobody's.
        for waiting in [each for each in self._waiting if _identity(each.places) == identity]:
            self._waiting.remove(waiting)
            waiting.outcome(error)

    def repeat_at_once(self, consumer: Consumer) -> None:
        """Send what is on its way once more, and learn what came of it without polling.

        For a rebalance: who waits for a commit would not be told before it is
        over, and it may be waiting for them.
        """
        repeated = [each for each in self._waiting if each.is_repeatable]
        for waiting in repeated:
            self._waiting.remove(waiting)
            send_at_once(consumer, waiting.places, waiting.outcome)

    def give_up(self, *, all_of_them: bool = False) -> None:
        """Tell those who wait for too long that their commit may not have been taken."""
        now = time.monotonic()
        for waiting in [each for each in self._waiting if all_of_them or each.give_up_at <= now]:
            self._waiting.remove(waiting)
            waiting.outcome(KafkaError(KafkaError._TIMED_OUT))

    def wait_for(self, consumer: Consumer, offsets: Sequence[TopicPartition]) -> None:
        """Commit with a `consumer` that reads nothing yet, and return when it is done.

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
    """Commit while a rebalance is being dealt with, when nothing can be heard by polling."""
    try:
        answers = consumer.commit(offsets=list(offsets), asynchronous=False)
    except KafkaException as exc:
        outcome(kafka_error(exc))
    else:
        outcome(next((answer.error for answer in answers if answer.error is not None), None))


def committed(
    consumer: Consumer, partitions: Sequence[TopicPartition], *, timeout_s: float = _CALL_TIMEOUT_S
) -> list[TopicPartition]:
    """Return the group's offsets, negative where there is none. Raises `KafkaException`."""
    return checked(consumer.committed(list(partitions), timeout=timeout_s))


def checked(partitions: list[TopicPartition]) -> list[TopicPartition]:
    """Return what a broker said of `partitions`; raises `KafkaException` for the first that it refused."""
    for partition in partitions:
        if partition.error is not None:
            raise KafkaException(partition.error)
    return partitions


def _identity(offsets: Sequence[TopicPartition]) -> frozenset[tuple[str, int, int]]:
    return frozenset((each.topic, each.partition, each.offset) for each in offsets)
