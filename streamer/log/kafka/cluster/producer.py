"""Records of the log, and the producers that write them, with transactions and without."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from streamer.errors import ForeignRecord
from streamer.events import Partition
from streamer.librdkafka.producer import DisposableProducer
from streamer.log.foreign_records import ForeignRecords
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors, RetryPolicy, is_retriable, kafka_error

_SHOWN_BYTES = 200

ANY_PARTITION = -1

Headers = Sequence[tuple[str, bytes]]
"""Headers of a consumed record."""

WrittenHeaders = dict[str, str | bytes | None]
"""Headers of a record to write: a dictionary costs less than pairs, event by event."""


class ProducerRecord(NamedTuple):
    """A record to produce; its fields are in the order of the producer's arguments.

    `timestamp_ms` is the commit time of an event, at which a subscriber can
    start; zero means now.
    """

    topic: str
    value: bytes
    key: bytes
    partition: int
    headers: WrittenHeaders
    timestamp_ms: int = 0

    @property
    def read_headers(self) -> Headers:
        """Headers as a reader gets them; text that UTF-8 cannot hold has question marks."""
        return [
            (name, value.encode("utf-8", "replace") if isinstance(value, str) else value or b"")
            for name, value in self.headers.items()
        ]


class Tombstone(NamedTuple):
    """A record that removes the record of its key from a compacted topic."""

    topic: str
    key: bytes
    partition: int


def place_of(message: Message) -> str:
    """Return where a record is, for a sentence: its topic, partition, offset and key."""
    key = (message.key() or b"")[:_SHOWN_BYTES].decode("utf-8", "backslashreplace")
    return f"topic {message.topic()}, partition {message.partition()}, offset {message.offset()}, key {key!r}"


def foreign(message: Message, reason: Exception) -> ForeignRecord:
    """Return the error for a record that Streamer did not write."""
    return ForeignRecord(
        f"a record is not Streamer's own ({reason}): {place_of(message)}. Remove it by a tombstone of its "
        "key, and let only Streamer write to this topic"
    )


def set_aside(foreign_records: ForeignRecords, message: Message, reason: Exception) -> None:
    """Leave out a record that Streamer did not write, and tell its place once."""
    foreign_records.set_aside(str(message.topic()), place_of(message), reason)


def as_partition(place: TopicPartition) -> Partition:
    """Return the partition of `place`."""
    return Partition(topic=place.topic, number=place.partition)


def as_topic_partitions(partitions: Iterable[Partition]) -> list[TopicPartition]:
    """Return `partitions` as librdkafka's, without offsets."""
    return [TopicPartition(partition.topic, partition.number) for partition in partitions]


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


_LOOK_S = 0.5
_LEAST_S = 0.05
_PAUSE_S = 0.05
_ABORT_S = 3.0
_OFFSETS_S = 5.0
_OVERRUN_S = 2.0
Failed = Callable[[], KafkaError | None]
"""Returns the reason why a record of the open transaction was refused, once one was."""


class TransactionalProducer(RecordProducer):
    """Writes under one transactional id, and fences off its former holder. Blocking, for one thread.

    Its calls follow Kafka's own: `init` once, then for each transaction
    `begin`, `produce`, `send_offsets` and `commit`. When `commit` fails, the
    outcome of the transaction stays uncertain until `init` of the next producer
    with the same id has returned, so this producer must be discarded. All of
    them raise `KafkaException`.
    """

    def __init__(
        self,
        clients: Clients,
        errors: KafkaErrors,
        configuration: Mapping[str, Any],
        *,
        known_topic: str = "",
        failed: Failed = lambda: None,
    ) -> None:
        """Build the producer; `init` fences off others.

        It discovers the brokers by the metadata of `known_topic`. While it
        waits for an answer, it asks `failed` whether waiting is useless.
        """
        super().__init__(clients.producer(errors, configuration))
        self._clock = clients.clock
        self._aborted = clients.aborted
        self._is_open = False
        self._known_topic = known_topic
        self._failed = failed
        self._is_connected = not known_topic
        self._is_ready = False

    def init(self, timeout_s: float) -> None:
        """Fence off the former holder of the id; its open transaction is decided when this returns.

        After a retriable error the next call continues this one; after a
        success it does nothing.
        """
        if self._is_ready:
            return
        if not self._is_connected:
            self.connect(self._known_topic, min(_LOOK_S, timeout_s))
            self._is_connected = True
        self._insist(Producer.init_transactions, timeout_s)
        self._is_ready = True

    def begin(self) -> None:
        """Begin a transaction; its first record announces it to the broker."""
        self.live.begin_transaction()
        self._is_open = True

    def send_offsets(self, offsets: Sequence[TopicPartition], generation: Any, timeout_s: float) -> None:
        """Let the transaction also commit `offsets` of a consumer group.

        `generation` is the result of `consumer_group_metadata`. The broker
        refuses the offsets of a past generation, which fences off a former
        member.
        """
        # The client waits forever for a group's coordinator that it cannot reach.
        self._retry(timeout_s).call(
            self.call,
            Producer.send_offsets_to_transaction,
            list(offsets),
            generation,
            _OFFSETS_S,
            timeout_s=_OFFSETS_S + _OVERRUN_S,
        )

    def commit(self, timeout_s: float) -> None:
        """Commit the transaction; all delivery reports have been served when this returns."""
        self._insist(Producer.commit_transaction, timeout_s)
        self._is_open = False

    def abort(self) -> bool:
        """Abort the transaction, and return whether that succeeded within 3 s.

        This is quicker than leaving it to the next producer's `init`.
        """
        self._count_abort()
        with suppress(KafkaException):
            self.live.abort_transaction(_ABORT_S)
            return True
        return False

    def discard(self) -> None:
        """Drop the producer; the next holder of the id ends an open transaction."""
        self._count_abort()
        super().discard()

    def _count_abort(self) -> None:
        if self._is_open:
            self._aborted.count()
            self._is_open = False

    def serve(self) -> None:
        """Serve the callbacks of the background threads: delivery reports, errors and log lines."""
        # The call raises a fatal error again.
        with suppress(KafkaException):
            self.live.poll(0)

    def _insist(self, call: Callable[[Producer, float], None], timeout_s: float) -> None:
        # The next call resumes one that timed out. Once a record was
        # refused, the waiting ones are never sent, and a commit would wait
        # for them until its deadline: so the reports are checked regularly.
        deadline = self._clock.monotonic() + timeout_s

        def go_on() -> None:
            call(self.live, min(_LOOK_S, max(_LEAST_S, deadline - self._clock.monotonic())))

        try:
            self._retry(timeout_s).call(go_on)
        finally:
            self.serve()

    def _retry(self, limit_s: float) -> RetryPolicy:
        return RetryPolicy(
            clock=self._clock, limit_s=limit_s, wait=self._look, can_pass=is_retriable, pause_s=_PAUSE_S
        )

    def _look(self, timeout_s: float) -> None:
        self.live.poll(timeout_s)
        if (error := self._failed()) is not None:
            raise KafkaException(error)
