"""Disposable producer: can be discarded at any moment, whatever the brokers do."""

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streamer.log.kafka.cluster.errors import kafka_error
from streamer.log.kafka.cluster.record import Record, Tombstone, WrittenHeaders

_log = structlog.get_logger()

_DISCARD_S = 3.0
_CONNECTIONS = 2
_ROOM_S = 0.05

Told = Callable[[KafkaError | None, Message], None]
"""Told what became of a record."""


class RecordNotTaken(KafkaException):
    """The producer does not accept `record`."""

    def __init__(self, error: KafkaError, record: Record | Tombstone) -> None:
        super().__init__(error)
        self.record = record


class DisposableProducer:
    """Holds the only reference to a producer, whose removal alone ends it.

    librdkafka ends a producer when the last reference to it goes: in 5 ms, with
    all of its threads and without a word to the brokers, be they well, frozen
    or dead. Its `close` would abort the open transaction first, and waits for
    brokers that do not answer. So no caller keeps the result of `live` in a
    variable: a traceback keeps variables, and an exception lives long.
    """

    def __init__(self, producer: Producer) -> None:
        self._producer: Producer | None = producer

    @property
    def live(self) -> Producer:
        """The producer, for one call; raises `RuntimeError` after it was discarded."""
        if self._producer is None:
            raise RuntimeError("this producer was discarded: make a new one, whose id fences it off")
        return self._producer

    def produce(
        self, records: Iterable[Record | Tombstone], timeout_s: float, *, told: Told | None = None
    ) -> None:
        """Produce `records`, waiting for room in the queue for at most `timeout_s` seconds.

        `told` is called for each of them while the producer is polled. Raises
        `RecordNotTaken`.
        """
        give_up_at = time.monotonic() + timeout_s
        produce: Callable[..., None] = self.live.produce
        value: bytes | None
        headers: WrittenHeaders | None
        try:
            for record in records:
                if isinstance(record, Record):
                    topic, value, key, partition, headers, timestamp_ms = record
                else:
                    (topic, key, partition), value, headers, timestamp_ms = record, None, None, 0
                while True:
                    try:
                        produce(topic, value, key, partition, told, headers=headers, timestamp=timestamp_ms)
                    except BufferError:
                        # An operator can bound the queue by an option.
                        if time.monotonic() > give_up_at:
                            raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from None
                        self.live.poll(_ROOM_S)
                    else:
                        break
        except KafkaException as exc:
            raise RecordNotTaken(kafka_error(exc), record) from exc
        except UnicodeEncodeError as exc:
            raise RecordNotTaken(KafkaError(KafkaError.INVALID_RECORD, "not Unicode text"), record) from exc
        finally:
            # A traceback would keep it, and with it the producer.
            del produce

    def call(self, call: Callable[..., None], *arguments: object, timeout_s: float) -> None:
        """Make a call that can exceed its own time-out.

        A call that takes longer than `timeout_s` is left behind with the
        producer, which ends when the call returns. Raises the call's own error,
        or `KafkaException` when the time is over.
        """
        failures: list[Exception] = []

        def run() -> None:
            try:
                call(self.live, *arguments)
            except Exception as exc:  # noqa: BLE001 - it is raised again, on the thread that asked
                failures.append(exc)

        calling = threading.Thread(target=run, name="kafka-call", daemon=True)
        calling.start()
        calling.join(timeout_s)
        if calling.is_alive():
            self._producer = None
            _log.warning("kafka.call_left_behind", waited_s=timeout_s)
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        if failures:
            # Left in the list it would hold itself, by its traceback.
            raise failures.pop()

    def connect(self, topic: str, timeout_s: float) -> None:
        """Connect to the brokers before a request would have to wait for it.

        A request without a connected broker is retried only half a second
        later, and the first connection lasts only until the brokers' names are
        known.
        """
        with suppress(KafkaException):
            for _ in range(_CONNECTIONS):
                self.live.list_topics(topic, timeout=timeout_s)

    def discard(self) -> None:
        """Drop the producer with its queue, within 3 s; a second call does nothing.

        Its open transaction is ended by the next `init_transactions` of its id.
        Only a thread that resolves a broker's name can't be interrupted: it
        delays the end, on a thread of its own, until the resolver gives up.
        """
        if self._producer is None:
            return
        self._producer.purge(blocking=False)
        dropped = [self._producer]
        self._producer = None
        ending = threading.Thread(target=dropped.clear, name="kafka-discard", daemon=True)
        ending.start()
        ending.join(_DISCARD_S)
        if ending.is_alive():
            _log.warning("kafka.producer_ends_late", waited_s=_DISCARD_S)
