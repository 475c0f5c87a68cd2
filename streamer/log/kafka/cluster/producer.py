"""Records of the log, and how producers take them."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from streamer.clock import Clock
from streamer.errors import ForeignRecord
from streamer.events import Partition
from streamer.librdkafka.producer import DisposableProducer
from streamer.log.foreign_records import ForeignRecords
from streamer.log.kafka.cluster.errors import kafka_error

_SHOWN_BYTES = 200

ANY_PARTITION = -1

Headers = Sequence[tuple[str, bytes]]
"""Headers of a consumed record."""

WrittenHeaders = dict[str, str | bytes | None]
"""Headers of a record to write; a dictionary costs less per event than a list of pairs."""


class ProducerRecord(NamedTuple):
    """Record to produce; the fields have the order of the arguments of `Producer.produce`.

    `timestamp_ms` is the commit time of an event; a subscriber can start at a given
    commit time. A `timestamp_ms` of zero means the current time.
    """

    topic: str
    value: bytes
    key: bytes
    partition: int
    headers: WrittenHeaders
    timestamp_ms: int = 0

    @property
    def read_headers(self) -> Headers:
        """Headers as a reader receives them; a character that UTF-8 can't hold becomes a question mark."""
        return [
            (name, value.encode("utf-8", "replace") if isinstance(value, str) else value or b"")
            for name, value in self.headers.items()
        ]


class Tombstone(NamedTuple):
    """Record that deletes its key from a compacted topic; `timestamp_ms` is as in `ProducerRecord`."""

    topic: str
    key: bytes
    partition: int
    headers: WrittenHeaders | None = None
    timestamp_ms: int = 0


def place_of(message: Message) -> str:
    """Return the position of a record as text: its topic, partition, offset and key."""
    key = (message.key() or b"")[:_SHOWN_BYTES].decode("utf-8", "backslashreplace")
    return f"topic {message.topic()}, partition {message.partition()}, offset {message.offset()}, key {key!r}"


def foreign(message: Message, reason: Exception) -> ForeignRecord:
    """Return the error for a record that Streamer did not write."""
    return ForeignRecord(
        f"Streamer did not write a record ({reason}): {place_of(message)}. Remove the record by a "
        "tombstone with the record's key, and let only Streamer write to this topic"
    )


def set_aside(foreign_records: ForeignRecords, message: Message, reason: Exception) -> None:
    """Count a record that Streamer did not write, and log its position once."""
    foreign_records.set_aside(str(message.topic()), place_of(message), reason)


def as_partition(place: TopicPartition) -> Partition:
    """Return the topic and number of `place` as a `Partition`."""
    return Partition(topic=place.topic, number=place.partition)


def as_topic_partitions(partitions: Iterable[Partition]) -> list[TopicPartition]:
    """Return `partitions` as librdkafka's type, without offsets."""
    return [TopicPartition(partition.topic, partition.number) for partition in partitions]


Content = tuple[str | None, bytes | None, bytes | None]
"""Topic, key and value: all that a delivery report contains of a record."""


def content(record: ProducerRecord | Tombstone) -> Content:
    """Return the content of `record` as in its delivery report."""
    return record.topic, record.key, record.value if isinstance(record, ProducerRecord) else None


class RecordNotTaken(KafkaException):
    """The producer did not accept `record`."""

    def __init__(self, error: KafkaError, record: ProducerRecord | Tombstone) -> None:
        """Store librdkafka's `error` and the `record`."""
        super().__init__(error)
        self.record = record


def enqueue(
    producer: DisposableProducer,
    records: Iterable[ProducerRecord | Tombstone],
    clock: Clock,
    deadline: float,
) -> None:
    """Enqueue `records` in order; wait for room in the queue until `deadline`. Raises `RecordNotTaken`."""
    produce: Callable[..., None] = producer.live.produce
    value: bytes | None
    headers: WrittenHeaders | None
    try:
        for record in records:
            if isinstance(record, ProducerRecord):
                topic, value, key, partition, headers, timestamp_ms = record
            else:
                (topic, key, partition, headers, timestamp_ms), value = record, None
            while True:
                try:
                    produce(topic, value, key, partition, headers=headers, timestamp=timestamp_ms)
                except BufferError:
                    # The queue is full, because an operator can limit its size by an option.
                    if clock.monotonic() > deadline:
                        raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from None
                    producer.wait_for_room()
                else:
                    break
    except KafkaException as exc:
        raise RecordNotTaken(kafka_error(exc), record) from exc
    except UnicodeEncodeError as exc:
        raise RecordNotTaken(
            KafkaError(KafkaError.INVALID_RECORD, "a text of the record is not valid Unicode"), record
        ) from exc
    finally:
        # Otherwise, a traceback would refer to this method, and the method would keep the
        # producer alive.
        del produce
