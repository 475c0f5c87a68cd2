"""Transactions under one transactional id, which commit records together with a group's offsets."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from streamer.librdkafka.producer import DisposableProducer, ProducerDiscarded
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors, RetryPolicy, is_retriable, kafka_error
from streamer.log.kafka.cluster.producer import (
    Content,
    ProducerRecord,
    RecordNotTaken,
    Tombstone,
    content,
    enqueue,
)

_LOOK_S = 0.5
_LEAST_S = 0.05
_PAUSE_S = 0.05
_READY_S = 10.0
_ABORT_S = 3.0
_OFFSETS_S = 5.0
_OVERRUN_S = 2.0
_OFFSETS_LIMIT_S = 10.0
_CONNECTIONS = 2

# Errors that a broker returns for a record that no broker will ever accept.
_REFUSALS = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.INVALID_MSG_SIZE,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.UNSUPPORTED_FOR_MESSAGE_FORMAT,
    }
)
# After these errors, the producer is kept: a rebalance brings several of them, and a new
# producer needs ten answers from brokers.
_GROUP_REFUSES = frozenset(
    {KafkaError.ILLEGAL_GENERATION, KafkaError.REBALANCE_IN_PROGRESS, KafkaError.UNKNOWN_MEMBER_ID}
)


class TransactionFailed(Exception):
    """A transaction failed; `refused` has the reasons of the records that can never be written."""

    def __init__(self, error: KafkaError, refused: Mapping[Content, KafkaError] | None = None) -> None:
        """Store Kafka's `error`."""
        super().__init__(error.str())
        self.error = error
        self.refused = refused or {}


class NothingWritten(TransactionFailed):
    """None of the records is or ever will be in the log."""


class Undecided(TransactionFailed):
    """The outcome of a transaction is open until `Transactions.begin` or `decide` has returned.

    `written` has the offsets of the records that brokers have reported. These offsets
    are valid only if the transaction takes effect.
    """

    def __init__(
        self,
        error: KafkaError,
        written: Mapping[bytes, int],
        refused: Mapping[Content, KafkaError] | None = None,
    ) -> None:
        """Store Kafka's `error`."""
        super().__init__(error, refused)
        self.written = written


class Transactions:
    """Writes under one transactional id, one transaction after the other. Blocking, for one thread.

    `begin` makes a producer. A failed write drops the producer, and the outcome of the
    write is certain after the next `begin`. A refused record also makes a new producer
    necessary: librdkafka counts this record in its sequence numbers, and the broker
    does not. Deadlines are points of the clock's monotonic time.
    """

    def __init__(
        self,
        clients: Clients,
        errors: KafkaErrors,
        configuration: Mapping[str, Any],
        *,
        known_topic: str = "",
        noting: str = "",
        delivered: Callable[[Message], None] | None = None,
    ) -> None:
        """Prepare; nothing connects before `begin`.

        Producers discover the brokers by the metadata of `known_topic`. `write` returns
        the offsets of the records in the topic `noting`. `delivered` gets each record
        that a broker has stored in the open transaction.
        """
        self._clients = clients
        self._clock = clients.clock
        self._errors = errors
        self._configuration = {**configuration, "on_delivery": self._report}
        self._known_topic = known_topic
        self._noting = noting
        self._delivered = delivered
        self._producer: DisposableProducer | None = None
        self._give_up_at = 0.0
        self._is_ready = False
        self._is_open = False
        self._is_undecided = False
        self._failed: list[tuple[KafkaError, Content]] = []
        self._noted: dict[bytes, int] = {}

    def begin(self, timeout_s: float) -> None:
        """Fence off the former holder of the transactional id, and decide its open transaction.

        Does nothing if `begin` has succeeded since the last failure. After a retriable
        error, the next call of `begin` continues the attempt, for ten seconds in total.
        Raises `KafkaException`.
        """
        if self._is_ready:
            return
        if self._producer is None:
            self._connect(min(_LOOK_S, timeout_s))
        try:
            self._insist(Producer.init_transactions, timeout_s)
        except KafkaException as exc:
            if not is_retriable(exc) or self._clock.monotonic() > self._give_up_at:
                self.discard()
            raise
        self._is_ready, self._is_undecided = True, False

    def decide(self) -> None:
        """Make the outcome of the last transaction certain.

        A call waits only briefly; the next call continues the attempt. Raises
        `KafkaException`.
        """
        if self._is_undecided:
            self.begin(_LOOK_S)

    def write(
        self,
        batches: Iterable[Sequence[ProducerRecord | Tombstone]],
        deadline: float,
        *,
        offsets: Sequence[TopicPartition] = (),
        generation: Any = None,
        verify: Callable[[], None] | None = None,
    ) -> Mapping[bytes, int]:
        """Commit all records and `offsets`, or nothing; return offsets of records by key (see `noting`).

        A batch is sent when all earlier batches are acknowledged. `generation` is the
        result of `consumer_group_metadata`. The broker refuses the offsets of a past
        generation, so a former member can't commit. `verify` is called when the brokers
        have stored all records; the transaction fails if it raises `KafkaException`. Raises
        `ProducerDiscarded` without a successful `begin`, and otherwise `NothingWritten` or
        `Undecided`.
        """
        if not self._is_ready:
            raise ProducerDiscarded("the producer was discarded: open the session again")
        self._failed.clear()
        self._noted = {}
        try:
            self._live.begin_transaction()
            self._is_open = True
            self._produce(batches, deadline)
            if verify is not None:
                self._await_delivery(deadline)
                verify()
            if offsets:
                self.send_offsets(offsets, generation, min(_OFFSETS_LIMIT_S, self._left(deadline)))
        except KafkaException as exc:
            error = self._cause(kafka_error(exc))
            refused = self._undo(error, can_abort=kafka_error(exc).txn_requires_abort())
            raise NothingWritten(error, refused) from exc
        try:
            self._insist(Producer.commit_transaction, self._left(deadline))
        except KafkaException as exc:
            # The outcome is open even after an error that asks for an abort, because the commit
            # can have reached the broker.
            self._is_undecided = True
            error = self._cause(kafka_error(exc))
            raise Undecided(error, self._noted, self._undo(error, can_abort=False)) from exc
        self._is_open = False
        return self._noted

    def send_offsets(self, offsets: Sequence[TopicPartition], generation: Any, timeout_s: float) -> None:
        """Let the open transaction also commit `offsets` of a consumer group. Raises `KafkaException`."""
        # A time limit is needed, because the client waits forever for an unreachable group
        # coordinator.
        self._retry(timeout_s).call(
            self._held.call,
            Producer.send_offsets_to_transaction,
            list(offsets),
            generation,
            _OFFSETS_S,
            timeout_s=_OFFSETS_S + _OVERRUN_S,
        )

    def discard(self) -> None:
        """Drop the producer with all its records, within 3 s; the next `begin` ends an open transaction."""
        self._count_abort()
        self._is_ready = False
        if self._producer is not None:
            self._producer.discard()
            self._producer = None

    @property
    def _held(self) -> DisposableProducer:
        if self._producer is None:
            raise ProducerDiscarded("the producer was discarded: open the session again")
        return self._producer

    @property
    def _live(self) -> Producer:
        return self._held.live

    def _connect(self, timeout_s: float) -> None:
        """Make a producer, and connect the producer before its first other request.

        Without a connected broker, librdkafka retries a request only half a second
        later. Two connections are made, because the first connection ends when the
        producer knows the names of the brokers.
        """
        self._producer = DisposableProducer(self._clients.producer(self._errors, self._configuration))
        self._give_up_at = self._clock.monotonic() + _READY_S
        self._failed.clear()
        with suppress(KafkaException):
            for _ in range(_CONNECTIONS if self._known_topic else 0):
                self._live.list_topics(self._known_topic, timeout=timeout_s)

    def _produce(self, batches: Iterable[Sequence[ProducerRecord | Tombstone]], deadline: float) -> None:
        try:
            for number, batch in enumerate(batches):
                if number:
                    self._live.flush(self._left(deadline))
                enqueue(self._held, batch, self._clock, deadline)
        except RecordNotTaken as exc:
            self._failed.append((kafka_error(exc), content(exc.record)))
            raise

    def _await_delivery(self, deadline: float) -> None:
        while self._live.flush(min(_LOOK_S, self._left(deadline))):
            # The rest is never sent once a broker has refused a record.
            self._check_failed()
        self._check_failed()

    def _check_failed(self) -> None:
        if self._failed:
            raise KafkaException(self._failed[0][0])

    def _undo(self, error: KafkaError, *, can_abort: bool) -> Mapping[Content, KafkaError]:
        """Abort a failed transaction, and discard the producer unless the group refused the transaction.

        Returns the records that can never be written.
        """
        refused = {what: why for why, what in self._failed if why.code() in _REFUSALS}
        is_ended = (can_abort or bool(refused)) and self._abort()
        if not is_ended or error.code() not in _GROUP_REFUSES:
            self.discard()
        return refused

    def _abort(self) -> bool:
        """Abort the transaction, and return whether the abort has succeeded within 3 s.

        An abort takes less time than the next `begin`.
        """
        self._count_abort()
        with suppress(KafkaException, ProducerDiscarded):
            self._live.abort_transaction(_ABORT_S)
            self._serve()
            return True
        return False

    def _count_abort(self) -> None:
        if self._is_open:
            self._clients.aborted.count()
            self._is_open = False

    def _cause(self, error: KafkaError) -> KafkaError:
        # A commit reports only that a record failed; the record's own report has the reason.
        self._serve()
        if error.code() != KafkaError._INCONSISTENT or not self._failed:
            return error
        return self._failed[0][0]

    def _report(self, error: KafkaError | None, message: Message) -> None:
        """Note a failed record, or the offset of a written record; librdkafka calls this as `on_delivery`."""
        if error is not None:
            self._failed.append((error, (message.topic(), message.key(), message.value())))
        elif self._delivered is not None:
            self._delivered(message)
        elif message.topic() == self._noting and message.value() is not None:
            key, offset = message.key(), message.offset()
            if key is not None and offset is not None and offset >= 0:
                self._noted[key] = offset

    def _serve(self) -> None:
        """Serve the callbacks of the background threads: delivery reports, errors and log lines."""
        # The poll repeats a fatal error that was raised before.
        with suppress(KafkaException, ProducerDiscarded):
            self._live.poll(0)

    def _left(self, deadline: float) -> float:
        left = deadline - self._clock.monotonic()
        if left <= 0:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return left

    def _insist(self, call: Callable[[Producer, float], None], timeout_s: float) -> None:
        # After a time-out, the next call continues the previous call. Once a broker has refused
        # a record, the waiting records are never sent, and a commit would wait for these records
        # until its deadline. So the delivery reports are checked regularly.
        deadline = self._clock.monotonic() + timeout_s

        def go_on() -> None:
            call(self._live, min(_LOOK_S, max(_LEAST_S, deadline - self._clock.monotonic())))

        try:
            self._retry(timeout_s).call(go_on)
        finally:
            self._serve()

    def _retry(self, limit_s: float) -> RetryPolicy:
        return RetryPolicy(
            clock=self._clock, limit_s=limit_s, wait=self._look, can_pass=is_retriable, pause_s=_PAUSE_S
        )

    def _look(self, timeout_s: float) -> None:
        self._live.poll(timeout_s)
        self._check_failed()
