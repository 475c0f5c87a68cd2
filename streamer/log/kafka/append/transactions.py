"""Transactions of ingest, which identify the records that a broker refuses, and detect fencing."""

from collections.abc import Callable, Collection, Sequence

from confluent_kafka import KafkaError, KafkaException, Message

from streamer.backoff import Backoff, Delays
from streamer.errors import Fenced, LogUnavailable
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors, is_fencing, kafka_error
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.producer import (
    ProducerRecord,
    RecordNotTaken,
    Tombstone,
    TransactionalProducer,
)

BATCH_BYTES = 1_000_000
"""Size of one batch to the broker, in bytes, unless a single record is larger."""

_OVERHEAD_BYTES = 512

# Broker errors for a record that the broker will never accept.
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

Content = tuple[str | None, bytes | None, bytes | None]
"""Topic, key and value of a record; a delivery report contains nothing else of it."""


def content(record: ProducerRecord | Tombstone) -> Content:
    """Return the content of `record` in the form that its delivery report has."""
    return record.topic, record.key, record.value if isinstance(record, ProducerRecord) else None


class UnwritableRecords(Exception):
    """The log can never accept some records, so nothing was written.

    `certain` is false when a broker refused several records of one batch, because
    each of them can be the reason.
    """

    def __init__(self, reason: str, refused: Collection[Content], *, certain: bool) -> None:
        """Name the records by their content."""
        super().__init__(reason)
        self.reason = reason
        self.refused = frozenset(refused)
        self.certain = certain


class Transactions:
    """Writes under one transactional id and fences off its previous holder; blocking, for one thread.

    After any exception, discard the object. The outcome of its open transaction is
    certain only after `begin` of the next object with the same id. A refusal needs
    a new producer for another reason too: librdkafka then increments its sequence
    numbers, while the broker does not.

    Deadlines are points of the clock's monotonic time.
    """

    def __init__(self, clients: Clients, transactional_id: str, errors: KafkaErrors) -> None:
        """Create the producer; it fences off nothing before `begin`."""
        timeout_ms = round(clients.settings.transaction_timeout_s * 1000)
        self._clock = clients.clock
        self._failed: list[tuple[KafkaError, Content]] = []
        self._producer = TransactionalProducer(
            clients,
            errors,
            {
                "transactional.id": transactional_id,
                "transaction.timeout.ms": timeout_ms,
                "batch.size": BATCH_BYTES,
                "delivery.report.only.error": True,
                "on_delivery": self._note_failure,
            },
            known_topic=Names.of(clients.settings).checkpoints,
            failed=lambda: self._failed[0][0] if self._failed else None,
        )

    def begin(self, deadline: float) -> None:
        """Fence off the previous holder of the id; on return, its open transaction is decided."""
        self._producer.init(self._left(deadline))

    def write(
        self,
        records: Sequence[ProducerRecord | Tombstone],
        deadline: float,
        *,
        stride: int = BATCH_BYTES,
        apart: Collection[Content] = (),
    ) -> None:
        """Commit all `records` or none of them.

        A batch takes at most `stride` bytes, and each record in `apart` gets a
        batch of its own. Raises `UnwritableRecords`, and `KafkaException` for any
        other error.
        """
        self._failed.clear()
        try:
            self._producer.begin()
            if apart or stride < BATCH_BYTES:
                self._produce_in_strides(records, deadline, stride, apart)
            else:
                self._produce(records, deadline)
            self._producer.commit(self._left(deadline))
        except KafkaException as exc:
            # This call serves the delivery reports.
            self._producer.serve()
            if refusal := self._refusal(apart):
                self._producer.abort()
                raise refusal from None
            raise KafkaException(self._cause(kafka_error(exc))) from exc

    def discard(self) -> None:
        """Drop the producer with all its records, within 3 s; later calls raise `RuntimeError`."""
        self._producer.discard()

    def _produce(self, records: Sequence[ProducerRecord | Tombstone], deadline: float) -> None:
        try:
            self._producer.produce(records, self._left(deadline))
        except RecordNotTaken as exc:
            self._failed.append((kafka_error(exc), content(exc.record)))
            raise

    def _produce_in_strides(
        self,
        records: Sequence[ProducerRecord | Tombstone],
        deadline: float,
        stride: int,
        apart: Collection[Content],
    ) -> None:
        waiting = 0
        for record in records:
            alone = content(record) in apart
            size = (len(record.value) if isinstance(record, ProducerRecord) else 0) + _OVERHEAD_BYTES
            if waiting and (alone or waiting + size > stride):
                self._producer.live.flush(self._left(deadline))
                waiting = 0
            self._produce([record], deadline)
            waiting += stride if alone else size

    def _left(self, deadline: float) -> float:
        left = deadline - self._clock.monotonic()
        if left <= 0:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return left

    def _note_failure(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failed.append((error, (message.topic(), message.key(), message.value())))

    def _cause(self, error: KafkaError) -> KafkaError:
        # A commit only says that a record failed; the record's delivery report contains the reason.
        if error.code() != KafkaError._INCONSISTENT or not self._failed:
            return error
        return self._failed[0][0]

    def _refusal(self, apart: Collection[Content]) -> UnwritableRecords | None:
        refused = {what: error for error, what in self._failed if error.code() in _REFUSALS}
        if not refused:
            return None
        reason = next(iter(refused.values())).str()
        # A record that is larger than a batch was the only record of its batch.
        certain = len(refused) == 1 or all(
            what in apart or len(what[2] or b"") > BATCH_BYTES for what in refused
        )
        return UnwritableRecords(reason, refused.keys(), certain=certain)


Mine = Callable[[int], bool | None]
"""Returns whether the group assigns a partition to this process; `None` while it is in no group."""
_BACKOFF = Backoff(first_s=0.25, limit_s=10.0)


class Fencing:
    """Detects that the producer of one partition was fenced off.

    There are two causes: another process owns the partition, or the broker ended
    our transaction because it took too long. The group knows which cause applies.
    """

    def __init__(self, partition: int, topic: str, mine: Mine) -> None:
        """Watch the producer of `partition` of `topic`."""
        self._partition = partition
        self._topic = topic
        self._mine = mine
        self._delays = Delays(_BACKOFF)

    def noticed(self, error: KafkaError) -> Fenced | LogUnavailable | None:
        """Return the consequence of the fencing that `error` reports; `None` if it reports no fencing.

        Returns `Fenced` if another process owns the partition, and otherwise
        `LogUnavailable` with a pause that grows from time to time. Raises
        `LogUnavailable` when the group does not answer.
        """
        if not is_fencing(error):
            return None
        if not self._mine(self._partition):
            return Fenced(f"another process owns partition {self._partition} of {self._topic}")
        reason = f"the transaction was ended by the broker: {error.str()}"
        return LogUnavailable(reason, after_s=self._delays.next_s())

    def written(self) -> None:
        """Note that a transaction was committed."""
        self._delays.reset()
