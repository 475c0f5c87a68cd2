"""One transactional producer: nothing it writes is seen unless all of it is."""

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streamer.clock import Clock
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors, kafka_error
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.producer import DisposableProducer
from streamer.log.kafka.cluster.record import Record

BATCH_BYTES = 1_000_000
"""What goes to the broker as one batch, unless a single record is larger."""

_ABORT_S = 3.0
_LOOK_S = 0.5
_PAUSE_S = 0.05
_OVERHEAD_BYTES = 512

# What the broker says of a record that it will never take.
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
"""Topic, key and value: all that a delivery report says of a record."""


def content(record: Record) -> Content:
    """Return what a delivery report would say of `record`."""
    return record.topic, record.key, record.value


class RecordsRefused(Exception):
    """Some records can never be written, and so nothing was.

    `certain` is false when a broker refused them in one batch, for which any
    of them may be the reason.
    """

    def __init__(self, reason: str, refused: Collection[Content], *, certain: bool) -> None:
        """Name the records by their content."""
        super().__init__(reason)
        self.reason = reason
        self.refused = frozenset(refused)
        self.certain = certain


class Transactions:
    """Writes under one transactional id, whose former holder it fences off. Blocking, for one thread.

    After any exception it must be discarded, and the next one's `begin`
    decides what was left open: only then is it certain whether a transaction
    took effect, and librdkafka counts on after a refusal where the broker did
    not. Deadlines are points of the clock's monotonic time.
    """

    def __init__(self, clients: Clients, transactional_id: str, errors: KafkaErrors, clock: Clock) -> None:
        """Connect; nothing is fenced before `begin`."""
        timeout_ms = round(clients.settings.transaction_timeout_s * 1000)
        self._clock = clock
        self._known_topic = Names.of(clients.settings).checkpoints
        self._failed: list[tuple[KafkaError, Content]] = []
        self._expendable = DisposableProducer(
            clients.producer(
                errors,
                {
                    "transactional.id": transactional_id,
                    "transaction.timeout.ms": timeout_ms,
                    "batch.size": BATCH_BYTES,
                    "delivery.report.only.error": True,
                    "on_delivery": self._note_failure,
                },
            )
        )

    def begin(self, deadline: float) -> None:
        """Fence off whoever had the id before; what that one left open is decided when this returns."""
        self._expendable.connect(self._known_topic, min(_LOOK_S, self._left(deadline)))
        self._insisting(Producer.init_transactions, deadline)

    def write(
        self,
        records: Sequence[Record],
        deadline: float,
        *,
        stride: int = BATCH_BYTES,
        apart: Collection[Content] = (),
    ) -> None:
        """Commit `records`, all or none.

        No batch takes more than `stride` bytes, and those that are in `apart`
        go in batches of their own. Raises `RecordsRefused`, and
        `KafkaException` for everything else.
        """
        self._failed.clear()
        try:
            self._producer.begin_transaction()
            if apart or stride < BATCH_BYTES:
                self._produce_in_strides(records, deadline, stride, apart)
            else:
                self._produce(records, deadline)
            self._insisting(Producer.commit_transaction, deadline)
        except KafkaException as exc:
            # Serves the reports; it raises what is fatal once more.
            with suppress(KafkaException):
                self._producer.poll(0)
            if refusal := self._refusal(apart):
                # Quicker than leaving it to the next one's `begin`.
                with suppress(KafkaException):
                    self._producer.abort_transaction(_ABORT_S)
                raise refusal from None
            raise KafkaException(self._cause(kafka_error(exc))) from exc
        # Serves log lines and errors that wait in the queue.
        self._producer.poll(0)

    def discard(self) -> None:
        """Drop the producer with all that it holds, within 3 s; every later call raises `RuntimeError`."""
        self._expendable.discard()

    @property
    def _producer(self) -> Producer:
        return self._expendable.live

    def _produce(self, records: Sequence[Record], deadline: float) -> None:
        produce: Callable[..., None] = self._producer.produce
        try:
            for record in records:
                topic, value, key, partition, headers, timestamp_ms = record
                while True:
                    try:
                        produce(topic, value, key, partition, headers=headers, timestamp=timestamp_ms)
                    except BufferError:
                        # An operator may have bounded the queue by an option.
                        self._producer.poll(min(_PAUSE_S, self._left(deadline)))
                    else:
                        break
        except KafkaException as exc:
            self._failed.append((kafka_error(exc), content(record)))
            raise
        except UnicodeEncodeError as exc:
            raise RecordsRefused("not Unicode text", [content(record)], certain=True) from exc
        finally:
            # A traceback would keep it, and with it the producer.
            del produce

    def _produce_in_strides(
        self, records: Sequence[Record], deadline: float, stride: int, apart: Collection[Content]
    ) -> None:
        waiting = 0
        for record in records:
            alone = content(record) in apart
            size = len(record.value) + _OVERHEAD_BYTES
            if waiting and (alone or waiting + size > stride):
                self._producer.flush(self._left(deadline))
                waiting = 0
            self._produce([record], deadline)
            waiting += stride if alone else size

    def _insisting(self, call: Callable[[Producer, float], None], deadline: float) -> None:
        # A call that timed out is resumed by the next. Once a record was
        # refused the others that wait are never sent, and a commit would wait
        # for them until its deadline: so it is looked after now and then.
        while True:
            try:
                return call(self._producer, min(_LOOK_S, self._left(deadline)))
            except KafkaException as exc:
                if not kafka_error(exc).retriable():
                    raise
            self._producer.poll(_PAUSE_S)
            if self._failed:
                raise KafkaException(self._failed[0][0])

    def _left(self, deadline: float) -> float:
        left = deadline - self._clock.monotonic()
        if left <= 0:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return left

    def _note_failure(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failed.append((error, (message.topic(), message.key(), message.value())))

    def _cause(self, told: KafkaError) -> KafkaError:
        # A commit says only that a record failed; the record's own report says why.
        if told.code() != KafkaError._INCONSISTENT or not self._failed:
            return told
        return self._failed[0][0]

    def _refusal(self, apart: Collection[Content]) -> RecordsRefused | None:
        refused = {what: error for error, what in self._failed if error.code() in _REFUSALS}
        if not refused:
            return None
        reason = next(iter(refused.values())).str()
        # What is larger than a batch was alone in its own.
        certain = len(refused) == 1 or all(
            what in apart or len(what[2] or b"") > BATCH_BYTES for what in refused
        )
        return RecordsRefused(reason, refused.keys(), certain=certain)
