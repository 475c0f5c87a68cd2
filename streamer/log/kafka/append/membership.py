"""Membership of this process in the group that shares the channels."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass

import structlog
from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition

from streamer.errors import LogUnavailable
from streamer.log.kafka.cluster.clients import Clients, member_options
from streamer.log.kafka.cluster.errors import KafkaErrors, kafka_error
from streamer.log.kafka.cluster.names import Names
from streamer.observe.process import Pulse, Pulses
from streamer.observe.service_thread import ServiceThread

_log = structlog.get_logger()

_THREAD = "kafka-ownership"
_POLL_S = 0.1
_PAUSE_S = 1.0
_ANSWER_S = 5.0
# A member learns of a change, such as the departure of another member, by its next heartbeat.
_HEARTBEATS_A_SESSION = 12
# The group reads nothing, but commits this offset. The offset is beyond the end of every
# partition, so monitoring sees no lag in the group.
_NO_LAG = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Partitions that this process owns; each change increments the version."""

    version: int
    partitions: frozenset[int]


class Membership:
    """Dynamic member of the ingest group; its consumer reads nothing.

    One thread polls the consumer. Before this thread hands partitions over, it waits
    until `settle` confirms their release. The thread waits at most for the grace
    period.
    """

    def __init__(self, clients: Clients, *, grace_s: float, pulses: Pulses) -> None:
        """Join the group; the first share comes after the first rebalance of the group."""
        self._clients = clients
        self._grace_s = grace_s
        self._names = Names.of(clients.settings)
        self._errors = KafkaErrors(clients.settings)
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._settled = threading.Condition()
        self._settled_version = 0
        self._share = Share(version=0, partitions=frozenset())
        self._questions: list[tuple[int, Future[bool]]] = []
        self._failure: Exception | None = None
        self._closing = False
        self._is_in = False
        self._thread = ServiceThread(_THREAD, self._serve, pulses=pulses, failed=self._fail)
        self._thread.start()

    async def share(self, *, after: int) -> Share:
        """Wait for a share with a version above `after`, and return it.

        Raises the error that ended the thread: either an error that needs an
        operator, or an unexpected error.
        """
        while self._share.version <= after:
            if self._failure is not None:
                raise self._failure
            self._changed.clear()
            await self._changed.wait()
        return self._share

    @property
    def is_in(self) -> bool:
        """True from the first assignment, even an empty one, until the group drops this process."""
        return self._is_in

    def settle(self, version: int) -> None:
        """Note that this process has released the partitions that were revoked up to `version`."""
        with self._settled:
            self._settled_version = version
            self._settled.notify_all()

    def holds(self, partition: int) -> bool:
        """Ask the group whether this process owns `partition`; blocking, so not for the event loop.

        Raises `LogUnavailable` when the group does not answer.
        """
        if partition not in self._share.partitions:
            return False
        answer: Future[bool] = Future()
        self._questions.append((partition, answer))
        try:
            return answer.result(_ANSWER_S)
        except TimeoutError as exc:
            raise LogUnavailable(
                f"the consumer group {self._names.ingest_group} has not reported in time which "
                "process owns the channels"
            ) from exc

    async def close(self) -> None:
        """Leave the group, so that other members take over at once."""
        with self._settled:
            self._closing = True
            self._settled.notify_all()
        await self._thread.join()

    # On the thread.

    def _serve(self, pulse: Pulse) -> None:
        try:
            while not self._closing and self._failure is None:
                self._be_a_member(pulse)
        finally:
            self._is_in = False
            self._deny_questions()

    def _be_a_member(self, pulse: Pulse) -> None:
        consumer = self._clients.checked_consumer(self._errors, self._configuration(), name=_THREAD)
        try:
            consumer.subscribe(
                [self._names.checkpoints],
                on_assign=self._assigned,
                on_revoke=self._revoked,
                on_lost=self._lost,
            )
            while not self._closing:
                pulse.beat()
                self._look_at(consumer.poll(_POLL_S))
                self._answer_questions(consumer)
        except KafkaException as exc:
            # After a temporary error, a new consumer joins the group.
            self._look_into(kafka_error(exc))
            with self._settled:
                self._settled.wait_for(lambda: self._closing, _PAUSE_S)
        finally:
            # Handing the partitions over and leaving the group can take long.
            pulse.rest()
            with suppress(KafkaException):
                consumer.close()

    def _look_at(self, message: Message | None) -> None:
        error = message.error() if message is not None else None
        # The consumer itself retries after a temporary error.
        if error is not None:
            self._look_into(error)

    def _look_into(self, error: KafkaError) -> None:
        failure = self._errors.explain(error, doing="joining", subject=self._group)
        if not isinstance(failure, LogUnavailable):
            self._fail(failure)

    def _assigned(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        begin = [TopicPartition(one.topic, one.partition, OFFSET_END) for one in partitions]
        consumer.incremental_assign(begin)
        # This consumer only holds the assignment; it must fetch no records.
        consumer.pause(begin)
        self._is_in = True
        if partitions:
            _log.info("ownership.gained", partitions=sorted(_numbers(partitions)))
        self._publish(self._share.partitions | _numbers(partitions))

    def _revoked(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        version = self._publish(self._share.partitions - _numbers(partitions))
        with self._settled:
            in_time = self._settled.wait_for(
                lambda: self._closing or self._settled_version >= version, self._grace_s
            )
        if not in_time:
            _log.warning("ownership.grace_exceeded", partitions=sorted(_numbers(partitions)))
        consumer.incremental_unassign(list(partitions))

    def _lost(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        # Another process can own the partitions already, so waiting would be useless.
        _log.warning("ownership.lost", partitions=sorted(_numbers(partitions)))
        self._is_in = False
        self._publish(self._share.partitions - _numbers(partitions))
        consumer.incremental_unassign(list(partitions))

    def _publish(self, partitions: frozenset[int]) -> int:
        self._share = Share(version=self._share.version + 1, partitions=partitions)
        self._wake()
        return self._share.version

    def _fail(self, failure: Exception) -> None:
        self._failure = failure
        self._wake()

    def _wake(self) -> None:
        self._loop.call_soon_threadsafe(self._changed.set)

    def _answer_questions(self, consumer: Consumer) -> None:
        while self._questions:
            partition, answer = self._questions.pop(0)
            mine = partition in self._share.partitions and self._is_member(consumer, partition)
            answer.set_result(mine)

    def _deny_questions(self) -> None:
        while self._questions:
            _, answer = self._questions.pop(0)
            answer.set_result(False)

    def _is_member(self, consumer: Consumer, partition: int) -> bool:
        """Return whether the coordinator accepts a commit, which only a current member can make."""
        place = TopicPartition(self._names.checkpoints, partition, _NO_LAG)
        # While a broker is frozen, librdkafka waits in the commit without a limit.
        self._thread.pulse.rest()
        try:
            committed = consumer.commit(offsets=[place], asynchronous=False)
        except KafkaException as exc:
            _log.warning("ownership.denied", partition=partition, error=kafka_error(exc).str())
            return False
        return all(one.error is None for one in committed or ())

    @property
    def _group(self) -> str:
        return f"group {self._names.ingest_group}"

    def _configuration(self) -> dict[str, object]:
        options = member_options(
            self._clients.settings, heartbeats=_HEARTBEATS_A_SESSION, hand_over_s=self._grace_s
        )
        return options | {
            "group.id": self._names.ingest_group,
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
        }


def _numbers(partitions: Sequence[TopicPartition]) -> frozenset[int]:
    return frozenset(one.partition for one in partitions)
