"""A consumer's commits, each confirmed or given up in bounded time."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streamer.log.kafka.faults import kafka_error

_LIMIT_S = 10.0
_POLL_S = 0.1

Outcome = Callable[[KafkaError | None], None]
"""Told what came of a commit; without an error it is in the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offsets:
    """A group's offsets, as its member commits and looks them up at the moment.

    `committed` returns them, negative where there is none, and raises `KafkaException`.
    """

    commit: Callable[[Sequence[TopicPartition], Outcome], None]
    committed: Callable[[Sequence[TopicPartition]], Sequence[TopicPartition]]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Waiting:
    places: tuple[TopicPartition, ...]
    give_up_at: float
    outcome: Outcome


class Commits:
    """Sends commits and hears what came of them.

    librdkafka's own way to wait for a commit waits for as long as a broker is
    frozen. Whoever polls the consumer is told here instead.
    """

    def __init__(self) -> None:
        """Wait for nothing yet."""
        self._waiting: list[_Waiting] = []

    def send(self, consumer: Consumer, offsets: Sequence[TopicPartition], outcome: Outcome) -> None:
        """Commit `offsets`; `outcome` is called while the consumer is polled, or by `give_up`."""
        waiting = _Waiting(places=tuple(offsets), give_up_at=time.monotonic() + _LIMIT_S, outcome=outcome)
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
        repeated, self._waiting = self._waiting, []
        for waiting in repeated:
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


def _identity(offsets: Sequence[TopicPartition]) -> frozenset[tuple[str, int, int]]:
    return frozenset((each.topic, each.partition, each.offset) for each in offsets)
