"""Offsets of partitions, and a reader of a topic between given offsets."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streamer.errors import LogUnavailable
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import RETRY_LIMIT_S, KafkaErrors
from streamer.log.kafka.cluster.names import Names

_CONFIGURATION: Mapping[str, Any] = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,
    "fetch.wait.max.ms": 50,
    # By default, librdkafka stops fetching for a second when its queue is full. With these
    # values, reading 100,000 records of 1 kB took 0.3 s instead of 4 s.
    "fetch.queue.backoff.ms": 5,
    "queued.max.messages.kbytes": 8192,
}
_CALL_S = 5.0


class BoundedReader:
    """Reads a range of offsets of each partition once, without a group, and returns committed records.

    Blocking, for one thread. If a transaction is open within a range, the reader waits
    until the transaction is decided, for at most `idle_limit_s` seconds without
    progress.
    """

    _isolation = "read_committed"

    def __init__(
        self,
        clients: Clients,
        errors: KafkaErrors,
        topic: str,
        read_ranges: Mapping[int, tuple[int, int]],
        *,
        over_holes: bool = False,
        idle_limit_s: float = RETRY_LIMIT_S,
    ) -> None:
        """Read each partition of `topic` from the first to the second offset of its range (exclusive).

        If the first offset no longer exists, the reader fails. With `over_holes`, the
        reader instead continues at the next existing offset.
        """
        self._topic = topic
        self._errors = errors
        self._clock = clients.clock
        self._idle_limit_s = idle_limit_s
        self._ends = {partition: end for partition, (begin, end) in read_ranges.items() if begin < end}
        self._stopped_at: dict[int, int] = {}
        self._has_moved = False
        self._idle_s = 0.0
        # The client requires a group id to assign partitions, although it joins no group.
        configuration = {
            "group.id": Names.of(clients.settings).ingest_group,
            "auto.offset.reset": "earliest" if over_holes else "error",
            "isolation.level": self._isolation,
        }
        self._consumer: Consumer = clients.consumer(errors, {**_CONFIGURATION, **configuration})
        self._consumer.assign([TopicPartition(topic, each, read_ranges[each][0]) for each in self._ends])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def is_over(self) -> bool:
        """True when every partition was read to its end."""
        return not self._ends

    def read(self, count: int, timeout_s: float) -> list[Message]:
        """Return at most `count` of the next records; an empty list if none arrived within `timeout_s`.

        Raises `LogUnavailable` if a transaction stays open too long, and otherwise
        `KafkaException`.
        """
        found: list[Message] = []
        asked_at, self._has_moved = self._clock.monotonic(), False
        for message in poll_many(self._consumer, count, timeout_s):
            error = message.error()
            if error is None:
                found += self._accepted(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                self._reach_partition_end(message.partition() or 0, message.offset() or 0)
            else:
                raise KafkaException(error)
        if found:
            self._errors.clear()
        # Only the time inside this call counts as idle: a slow caller does not make the topic idle.
        self._idle_s = 0.0 if self._has_moved else self._idle_s + self._clock.monotonic() - asked_at
        self._check_progress()
        return found

    def close(self) -> None:
        """Close the consumer and end the reading."""
        self._ends = {}
        self._consumer.close()

    def _accepted(self, message: Message) -> list[Message]:
        partition, offset = message.partition() or 0, message.offset() or 0
        self._has_moved = True
        end = self._ends.get(partition, 0)
        if offset + 1 >= end:
            self._finish(partition)
        return [message] if offset < end else []

    def _reach_partition_end(self, partition: int, offset: int) -> None:
        # Transaction markers occupy offsets too, so the last record can come before the end.
        if offset >= self._ends.get(partition, 0):
            self._finish(partition)
        elif self._stopped_at.get(partition) != offset:
            self._has_moved = True
            self._stopped_at[partition] = offset

    def _finish(self, partition: int) -> None:
        self._stopped_at.pop(partition, None)
        if self._ends.pop(partition, None) is not None and self._ends:
            # Fetch nothing after the range's end while other partitions are read.
            self._consumer.incremental_unassign([TopicPartition(self._topic, partition)])

    def _check_progress(self) -> None:
        if self.is_over or self._idle_s < self._idle_limit_s:
            return
        for partition in self._ends:
            if partition in self._stopped_at:
                raise undecided(self._topic, partition)
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))


class UncommittedReader(BoundedReader):
    """Reader that also returns the records of open and aborted transactions, and waits for none."""

    _isolation = "read_uncommitted"


def poll_many(consumer: Consumer, count: int, timeout_s: float) -> list[Message]:
    """Wait up to `timeout_s` for a message, and return all messages that have arrived, at most `count`."""
    first = consumer.poll(timeout_s)
    return [] if first is None else [first, *consumer.consume(count - 1, 0)]


def undecided(topic: str, partition: int) -> LogUnavailable:
    """Return the error for a partition in which a transaction is still open."""
    return LogUnavailable(
        f"a transaction is open in partition {partition} of topic {topic}: wait until the brokers end "
        "the transaction after its time limit; if the transaction stays open, run "
        "`kafka-transactions.sh find-hanging`, and then `kafka-transactions.sh abort` for every "
        "partition that the output names"
    )


def bounds(consumer: Consumer, place: TopicPartition) -> tuple[int, int]:
    """Return the first and the end offset of a partition; raises `KafkaException`.

    A newly elected leader does not know the replicated end for a moment, and a fetch in
    this moment can end too soon. The leader answers the request for the bounds only
    when the leader knows the end.
    """
    with _looking_for_leaders(consumer, [place.topic]):
        begin, end = consumer.get_watermark_offsets(place, timeout=_CALL_S)
    return begin, end


def look_up(consumer: Consumer, partitions: Sequence[TopicPartition], what: int) -> list[TopicPartition]:
    """Return the offset that `what` means in each partition.

    `what` is `OFFSET_BEGINNING`, `OFFSET_END`, or a time in milliseconds since 1970.
    `OFFSET_END` means the offset before the first record of any open transaction.
    Raises `KafkaException`.
    """
    if not partitions:
        return []
    asked = [TopicPartition(each.topic, each.partition, what) for each in partitions]
    with _looking_for_leaders(consumer, {each.topic for each in asked}):
        return checked(consumer.offsets_for_times(asked, timeout=_CALL_S))


def checked(partitions: list[TopicPartition]) -> list[TopicPartition]:
    """Return a broker's answer `partitions` unchanged; raises its first error as `KafkaException`."""
    for partition in partitions:
        if partition.error is not None:
            raise KafkaException(partition.error)
    return partitions


@contextmanager
def _looking_for_leaders(consumer: Consumer, topics: Collection[str]) -> Iterator[None]:
    try:
        yield
    except KafkaException:
        # Without this request, the consumer would ask the same brokers again. The request tells
        # the consumer which brokers lead the partitions now.
        with suppress(KafkaException):
            for topic in topics:
                consumer.list_topics(topic, timeout=_CALL_S)
        raise
