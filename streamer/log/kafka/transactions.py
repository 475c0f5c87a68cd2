"""One transactional producer: nothing it writes is seen unless all of it is."""

import threading
from collections.abc import Callable, Collection, Sequence

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streamer.clock import Clock
from streamer.log.kafka.clients import Clients
from streamer.log.kafka.encoding import Record
from streamer.log.kafka.faults import Faults, kafka_error

_DISCARD_S = 3.0
_ABORT_S = 3.0
_PAUSE_S = 0.05
_SMALLEST_STRIDE = 16 * 1024
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
    """Some records can never be written; the transaction was aborted, and the next may begin.

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

    After any `KafkaException` it must be discarded: whether the transaction
    took effect is certain only to the next one's `begin`. Deadlines are
    points of the clock's monotonic time.
    """

    def __init__(self, clients: Clients, transactional_id: str, faults: Faults, clock: Clock) -> None:
        """Connect; nothing is fenced before `begin`."""
        timeout_ms = round(clients.settings.transaction_timeout_s * 1000)
        self._clock = clock
        self._failed: list[tuple[KafkaError, Content]] = []
        self._stride = 0
        self._producers: list[Producer] = [
            clients.producer(
                faults,
                {
                    "transactional.id": transactional_id,
                    "transaction.timeout.ms": timeout_ms,
                    "delivery.report.only.error": True,
                    "on_delivery": self._note_failure,
                },
            )
        ]

    def begin(self, deadline: float) -> None:
        """Fence off whoever had the id before; what that one left open is decided when this returns."""
        self._insisting(self._producer.init_transactions, deadline)

    def write(self, records: Sequence[Record], deadline: float, *, apart: Collection[Content] = ()) -> None:
        """Commit `records`, all or none; those that are in `apart` go in batches of their own.

        Raises `RecordsRefused`, and `KafkaException` for everything else.
        """
        self._failed.clear()
        self._producer.begin_transaction()
        try:
            if apart or self._stride:
                self._produce_in_strides(records, deadline, apart)
            else:
                self._produce(records, deadline)
            self._insisting(self._producer.commit_transaction, deadline)
        except KafkaException:
            self._producer.poll(0)
            if refusal := self._refusal(apart):
                self._producer.abort_transaction(_ABORT_S)
                raise refusal from None
            raise
        # Serves log lines and errors that wait in the queue.
        self._producer.poll(0)

    def send_less_at_once(self) -> None:
        """Make batches smaller from now on: the broker refused them for what they held together."""
        self._stride = max((self._stride or 1024 * 1024) // 2, _SMALLEST_STRIDE)

    def discard(self) -> None:
        """Drop the producer with all that it holds, within 3 s, whatever the brokers do."""
        self._producer.purge(blocking=False)
        # Its end waits for its threads, which a broker might hold up.
        ending = threading.Thread(target=self._producers.clear, name="kafka-discard", daemon=True)
        ending.start()
        ending.join(_DISCARD_S)

    @property
    def _producer(self) -> Producer:
        return self._producers[0]

    def _produce(self, records: Sequence[Record], deadline: float) -> None:
        produce: Callable[..., None] = self._producer.produce
        for record in records:
            topic, value, key, partition, headers = record
            try:
                produce(topic, value, key, partition, headers=headers)
            except KafkaException as exc:
                self._failed.append((kafka_error(exc), content(record)))
                raise
            except BufferError:
                self._producer.poll(min(_PAUSE_S, self._left(deadline)))
                self._produce([record], deadline)

    def _produce_in_strides(
        self, records: Sequence[Record], deadline: float, apart: Collection[Content]
    ) -> None:
        waiting = 0
        stride = self._stride or 2**62
        for record in records:
            alone = content(record) in apart
            size = len(record.value) + _OVERHEAD_BYTES
            if waiting and (alone or waiting + size > stride):
                self._producer.flush(self._left(deadline))
                waiting = 0
            self._produce([record], deadline)
            waiting += size
            if alone:
                self._producer.flush(self._left(deadline))
                waiting = 0

    def _insisting(self, call: Callable[[float], None], deadline: float) -> None:
        while True:
            try:
                return call(self._left(deadline))
            except KafkaException as exc:
                if not kafka_error(exc).retriable():
                    raise
                self._producer.poll(_PAUSE_S)

    def _left(self, deadline: float) -> float:
        left = deadline - self._clock.monotonic()
        if left <= 0:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return left

    def _note_failure(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failed.append((error, (message.topic(), message.key(), message.value())))

    def _refusal(self, apart: Collection[Content]) -> RecordsRefused | None:
        refused = {what: error for error, what in self._failed if error.code() in _REFUSALS}
        if not refused:
            return None
        reason = next(iter(refused.values())).str()
        certain = len(refused) == 1 or refused.keys() <= set(apart)
        return RecordsRefused(reason, refused.keys(), certain=certain)
