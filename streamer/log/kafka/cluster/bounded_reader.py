"""One reading of a topic, up to where it ended."""

import time
from collections.abc import Mapping
from typing import Any, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streamer.errors import LogUnavailable
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors
from streamer.log.kafka.cluster.names import Names

_IDLE_LIMIT_S = 25.0
_CONFIGURATION: Mapping[str, Any] = {
    "isolation.level": "read_committed",
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,
    "fetch.wait.max.ms": 50,
    # The default leaves a full queue alone for a second; with these 100,000
    # records of a kilobyte were read in 0.3 s instead of 4.
    "fetch.queue.backoff.ms": 5,
    "queued.max.messages.kbytes": 8192,
}


class BoundedReader:
    """Reads stretches of partitions once, without a group, and gives out what was committed.

    Blocking, for one thread. A stretch may end behind transactions that are
    open: what is below its end is poll_many until it is decided, for at most
    25 s in which nothing moves.
    """

    def __init__(
        self,
        clients: Clients,
        errors: KafkaErrors,
        topic: str,
        read_ranges: Mapping[int, tuple[int, int]],
        *,
        over_holes: bool = False,
    ) -> None:
        """Begin to read `topic` from the first offset of each partition's stretch to below the second.

        Where the beginning of a stretch is gone, it fails, or goes on behind: `over_holes`.
        """
        self._topic = topic
        self._errors = errors
        self._ends = {partition: end for partition, (begin, end) in read_ranges.items() if begin < end}
        self._stopped_at: dict[int, int] = {}
        self._has_moved = False
        self._idle_s = 0.0
        # It joins no group: assigning by hand only asks for some name.
        configuration = {
            "group.id": Names.of(clients.settings).ingest_group,
            "auto.offset.reset": "earliest" if over_holes else "error",
        }
        self._consumer: Consumer = clients.consumer(errors, {**_CONFIGURATION, **configuration})
        self._consumer.assign([TopicPartition(topic, each, read_ranges[each][0]) for each in self._ends])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def is_over(self) -> bool:
        """Whether every partition was read to its end."""
        return not self._ends

    def read(self, count: int, timeout_s: float) -> list[Message]:
        """Return at most `count` of the next records, none when none came within `timeout_s`.

        Raises `KafkaException`, and `LogUnavailable` for a transaction that is
        not decided in time.
        """
        found: list[Message] = []
        asked_at, self._has_moved = time.monotonic(), False
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
        # Whoever takes long over what was given out stands still, and not the topic.
        self._idle_s = 0.0 if self._has_moved else self._idle_s + time.monotonic() - asked_at
        self._check_progress()
        return found

    def close(self) -> None:
        """Close the consumer; reading is over."""
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
        # Markers of transactions take offsets too, so the last record may come before the end.
        if offset >= self._ends.get(partition, 0):
            self._finish(partition)
        elif self._stopped_at.get(partition) != offset:
            self._has_moved = True
            self._stopped_at[partition] = offset

    def _finish(self, partition: int) -> None:
        self._stopped_at.pop(partition, None)
        if self._ends.pop(partition, None) is not None and self._ends:
            # What follows need not be fetched while others are read.
            self._consumer.incremental_unassign([TopicPartition(self._topic, partition)])

    def _check_progress(self) -> None:
        if self.is_over or self._idle_s < _IDLE_LIMIT_S:
            return
        for partition in self._ends:
            if partition in self._stopped_at:
                raise undecided(self._topic, partition)
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))


def poll_many(consumer: Consumer, count: int, timeout_s: float) -> list[Message]:
    """Return what comes within `timeout_s`, and at most `count` of it, without waiting for all of that."""
    first = consumer.poll(timeout_s)
    return [] if first is None else [first, *consumer.consume(count - 1, 0)]


def undecided(topic: str, partition: int) -> LogUnavailable:
    """Return what is said of a partition in which a transaction stays open."""
    return LogUnavailable(
        f"a transaction is open in partition {partition} of topic {topic}: it ends by its time limit, or, if "
        "the brokers lost track of it, by `kafka-transactions.sh abort` in every partition that "
        "`kafka-transactions.sh find-hanging` names"
    )
