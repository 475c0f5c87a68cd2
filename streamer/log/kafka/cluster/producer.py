"""Records of the log, and the transactional and plain producers that write them."""

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
"""Headers of a record to write, as a dictionary, which costs less per event than pairs."""


class ProducerRecord(NamedTuple):
    """Record to produce; the fields have the order of the arguments of `Producer.produce`.

    `timestamp_ms` is the commit time of an event; a subscriber can start at a given
    commit time. Zero means now.
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
    """Record that deletes its key from a compacted topic."""

    topic: str
    key: bytes
    partition: int


def place_of(message: Message) -> str:
    """Return the position of a record as text: its topic, partition, offset and key."""
    key = (message.key() or b"")[:_SHOWN_BYTES].decode("utf-8", "backslashreplace")
    return f"topic {message.topic()}, partition {message.partition()}, offset {message.offset()}, key {key!r}"


def foreign(message: Message, reason: Exception) -> ForeignRecord:
    """Return the error for a record that Streamer did not write."""
    return ForeignRecord(
        f"a record is not Streamer's own ({reason}): {place_of(message)}. Remove it by a tombstone with its "
        "key, and let only Streamer write to this topic"
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


_CONNECTIONS = 2
Told = Callable[[KafkaError | None, Message], None]
"""Callback that receives the delivery report of a record."""


class RecordNotTaken(KafkaException):
    """The producer did not accept `record`."""

    def __init__(self, error: KafkaError, record: ProducerRecord | Tombstone) -> None:
        """Store librdkafka's `error` and the `record`."""
        super().__init__(error)
        self.record = record


class RecordProducer(DisposableProducer):
    """Writes records in the order in which they are given."""

    def produce(
        self, records: Iterable[ProducerRecord | Tombstone], timeout_s: float, *, told: Told | None = None
    ) -> None:
        """Enqueue `records`, waiting at most `timeout_s` seconds for room.

        When the producer is polled, it calls `told` for each record. Raises
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
                        # An operator can limit the queue by an option.
                        if not self.wait_for_room(give_up_at):
                            raise KafkaException(KafkaError(KafkaError._TIMED_OUT)) from None
                    else:
                        break
        except KafkaException as exc:
            raise RecordNotTaken(kafka_error(exc), record) from exc
        except UnicodeEncodeError as exc:
            raise RecordNotTaken(KafkaError(KafkaError.INVALID_RECORD, "not Unicode text"), record) from exc
        finally:
            # A traceback would keep this method and thus the producer alive.
            del produce

    def connect(self, topic: str, timeout_s: float) -> None:
        """Connect to the brokers in advance, because a request without a connection waits longer.

        librdkafka retries a request without a connected broker only after half a
        second. It makes two connections: it drops the first as soon as it knows the
        brokers' names.
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
"""Returns why a record of the open transaction was refused, or `None` if no record was refused."""


class TransactionalProducer(RecordProducer):
    """Writes under one transactional id and fences off its previous holder; blocking, for one thread.

    Call `init` once, and then for each transaction `begin`, `produce`,
    `send_offsets` and `commit`. Each method raises `KafkaException`. When `commit`
    fails, discard the producer: the outcome of the transaction is unknown until
    `init` of the next producer with the same id has returned.
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
        """Create the producer; only `init` fences off other producers.

        The producer finds the brokers by the metadata of `known_topic`. While it
        waits for an answer, it calls `failed` to learn whether waiting is useless.
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
        """Fence off the previous holder of the id; on return, its open transaction is decided.

        After a retriable error, call the method again to continue. After a success,
        further calls do nothing.
        """
        if self._is_ready:
            return
        if not self._is_connected:
            self.connect(self._known_topic, min(_LOOK_S, timeout_s))
            self._is_connected = True
        self._insist(Producer.init_transactions, timeout_s)
        self._is_ready = True

    def begin(self) -> None:
        """Begin a transaction; the broker learns of it with the first record."""
        self.live.begin_transaction()
        self._is_open = True

    def send_offsets(self, offsets: Sequence[TopicPartition], generation: Any, timeout_s: float) -> None:
        """Let the transaction also commit `offsets` of a consumer group.

        `generation` is the result of `consumer_group_metadata`. The broker refuses
        the offsets of an earlier generation. So a former member of the group can't
        commit.
        """
        # The client would wait forever for a group coordinator that it cannot reach.
        self._retry(timeout_s).call(
            self.call,
            Producer.send_offsets_to_transaction,
            list(offsets),
            generation,
            _OFFSETS_S,
            timeout_s=_OFFSETS_S + _OVERRUN_S,
        )

    def commit(self, timeout_s: float) -> None:
        """Commit the transaction; on return, all delivery reports have been served."""
        self._insist(Producer.commit_transaction, timeout_s)
        self._is_open = False

    def abort(self) -> bool:
        """Abort the transaction; return whether the broker confirmed within 3 s.

        An abort is quicker than waiting for `init` of the next producer.
        """
        self._count_abort()
        with suppress(KafkaException):
            self.live.abort_transaction(_ABORT_S)
            return True
        return False

    def discard(self) -> None:
        """Drop the producer; the next holder of the id ends its open transaction."""
        self._count_abort()
        super().discard()

    def _count_abort(self) -> None:
        if self._is_open:
            self._aborted.count()
            self._is_open = False

    def serve(self) -> None:
        """Serve the callbacks of the background threads: delivery reports, errors and log lines."""
        # The call would raise an earlier fatal error again.
        with suppress(KafkaException):
            self.live.poll(0)

    def _insist(self, call: Callable[[Producer, float], None], timeout_s: float) -> None:
        # After a time-out, the next call resumes the same request. Once a record was refused,
        # librdkafka never sends the queued records, and a commit would wait for them until its
        # deadline. So `_look` checks the delivery reports regularly.
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
