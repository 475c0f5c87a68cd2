"""Producer of the log's records."""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from confluent_kafka import KafkaError, KafkaException, Message

from streamer.librdkafka.producer import DisposableProducer
from streamer.log.kafka.cluster.errors import kafka_error
from streamer.log.kafka.cluster.record import ProducerRecord, Tombstone, WrittenHeaders

_CONNECTIONS = 2

Told = Callable[[KafkaError | None, Message], None]
"""Callback with the delivery report of a record."""


class RecordNotTaken(KafkaException):
    """The producer does not accept `record`."""

    def __init__(self, error: KafkaError, record: ProducerRecord | Tombstone) -> None:
        """Keep the error of librdkafka."""
        super().__init__(error)
        self.record = record


class RecordProducer(DisposableProducer):
    """Writes records of the log, in their order."""

    def produce(
        self, records: Iterable[ProducerRecord | Tombstone], timeout_s: float, *, told: Told | None = None
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
                if isinstance(record, ProducerRecord):
                    topic, value, key, partition, headers, timestamp_ms = record
                else:
                    (topic, key, partition), value, headers, timestamp_ms = record, None, None, 0
                while True:
                    try:
                        produce(topic, value, key, partition, told, headers=headers, timestamp=timestamp_ms)
                    except BufferError:
                        # An operator can bound the queue by an option.
                        if not self.wait_for_room(give_up_at):
                            raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from None
                    else:
                        break
        except KafkaException as exc:
            raise RecordNotTaken(kafka_error(exc), record) from exc
        except UnicodeEncodeError as exc:
            raise RecordNotTaken(KafkaError(KafkaError.INVALID_RECORD, "not Unicode text"), record) from exc
        finally:
            # A traceback would keep the method alive, and with it the producer.
            del produce

    def connect(self, topic: str, timeout_s: float) -> None:
        """Connect to the brokers before a request that would wait for the connection.

        A request without a connected broker is retried only half a second
        later, and the first connection lasts only until the names of the
        brokers are known.
        """
        with suppress(KafkaException):
            for _ in range(_CONNECTIONS):
                self.live.list_topics(topic, timeout=timeout_s)
