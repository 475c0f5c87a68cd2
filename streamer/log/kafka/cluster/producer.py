"""Producer that can be discarded at any moment, in any state of the brokers."""

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
"""Callback with the delivery report of a record."""


class RecordNotTaken(KafkaException):
    """The producer does not accept `record`."""

    def __init__(self, error: KafkaError, record: Record | Tombstone) -> None:
        """Keep the error of librdkafka."""
        super().__init__(error)
        self.record = record


class DisposableProducer:
    """Holds the only reference to a producer, because only dropping it ends the producer.

    librdkafka ends a producer when the last reference to it goes: in 5 ms, with
    all of its threads and without a request to the brokers, whether they are
    healthy, frozen or dead. Its `close` would abort the open transaction first,
    and waits for brokers that do not answer. So no caller keeps the result of
    `live` in a variable: a traceback keeps variables alive, and an exception
    can live long.
    """

    def __init__(self, producer: Producer) -> None:
        self._producer: Producer | None = producer

    @property
    def live(self) -> Producer:
        """Producer for one call; raises `RuntimeError` once it was discarded."""
        if self._producer is None:
            raise RuntimeError("this producer was discarded: make a new one, whose id fences it off")
        return self._producer

    def produce(
        self, records: Iterable[Record | Tombstone], timeout_s: float, *, told: Told | None = None
    ) -> None:
        """Enqueue `records`, waiting at most `timeout_s` seconds for room.

        `told` is called for each record while the producer is polled. Raises
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
            # A traceback would keep the method alive, and with it the producer.
            del produce

    def call(self, call: Callable[..., None], *arguments: object, timeout_s: float) -> None:
        """Make a call that can exceed its own time-out.

        If it takes longer than `timeout_s`, it is abandoned together with the
        producer, which is freed when the call returns. Raises the error of the
        call, or `KafkaException` after the time-out.
        """
        failures: list[Exception] = []

        def run() -> None:
            try:
                call(self.live, *arguments)
            except Exception as exc:  # noqa: BLE001 - it is raised again, on the calling thread
                failures.append(exc)

        calling = threading.Thread(target=run, name="kafka-call", daemon=True)
        calling.start()
        calling.join(timeout_s)
        if calling.is_alive():
            self._producer = None
            _log.warning("kafka.call_left_behind", waited_s=timeout_s)
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        if failures:
            # Left in the list, the exception would keep itself alive by its traceback.
            raise failures.pop()

    def connect(self, topic: str, timeout_s: float) -> None:
        """Connect to the brokers before a request that would wait for the connection.

        A request without a connected broker is retried only half a second
        later, and the first connection lasts only until the names of the
        brokers are known.
        """
        with suppress(KafkaException):
            for _ in range(_CONNECTIONS):
                self.live.list_topics(topic, timeout=timeout_s)

    def discard(self) -> None:
        """Drop the producer with all its records, within 3 s; a second call does nothing.

        The next `init_transactions` of its id ends an open transaction. Only a
        thread that resolves a broker's name cannot be interrupted: it delays
        the end, on a thread of its own, until the resolver gives up.
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
