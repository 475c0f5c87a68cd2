"""Twin of confluent_kafka's producer, at a cluster in memory that takes or refuses what comes together."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError, KafkaException

Told = Callable[[KafkaError | None, Any], None]


@dataclass(frozen=True, slots=True)
class Position:
    """Place of a written record, as a delivery report tells it."""

    at: int

    def partition(self) -> int:
        """Return the only partition."""
        return 0

    def offset(self) -> int:
        """Return the offset."""
        return self.at


@dataclass
class Cluster:
    """Topic whose broker refuses a batch with a value over `most_bytes`, and answers `answers` batches.

    `batches` holds the values of each batch that was sent, `asked` the time-outs
    with which a topic was looked for, and `producers` is the number of those made.
    """

    most_bytes: int = 100
    answers: int | None = None
    has_topic: bool = True
    producers: int = 0
    batches: list[list[bytes]] = field(default_factory=list)
    written: list[bytes] = field(default_factory=list)
    asked: list[float] = field(default_factory=list)

    def producer(self, _configuration: Mapping[str, Any], **_more: Any) -> "MemoryProducer":
        """Return a producer of records for this cluster."""
        self.producers += 1
        return MemoryProducer(self)


class MemoryProducer:
    """Producer that sends what is queued as one batch, as librdkafka does for a partition."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._queue: list[tuple[bytes, Told]] = []
        self._unanswered = 0

    def produce(self, _topic: str, value: bytes, _key: bytes, *, on_delivery: Told, **_more: Any) -> None:
        """Queue a record."""
        if not self._cluster.has_topic:
            raise KafkaException(KafkaError(KafkaError._UNKNOWN_TOPIC))
        self._queue.append((value, on_delivery))

    def flush(self, timeout_s: float) -> int:
        """Send what is queued, and return the number of records without an answer."""
        batch, self._queue = self._queue, []
        if batch:
            self._send(batch)
        if self._unanswered:
            time.sleep(timeout_s)
        return self._unanswered

    def list_topics(self, _topic: str, *, timeout: float) -> None:
        """Find nothing in time."""
        self._cluster.asked.append(timeout)
        time.sleep(timeout)
        raise KafkaException(KafkaError(KafkaError._TRANSPORT))

    def poll(self, _timeout_s: float) -> int:
        """Serve nothing: `flush` serves the reports."""
        return 0

    def purge(self, *, blocking: bool) -> None:
        """Forget what has no answer."""
        assert not blocking
        self._queue, self._unanswered = [], 0

    def _send(self, batch: list[tuple[bytes, Told]]) -> None:
        cluster = self._cluster
        cluster.batches.append([value for value, _ in batch])
        if cluster.answers is not None and len(cluster.batches) > cluster.answers:
            self._unanswered += len(batch)
            return
        refused = any(len(value) > cluster.most_bytes for value, _ in batch)
        error = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE) if refused else None
        for value, told in batch:
            told(error, Position(len(cluster.written)))
            if not refused:
                cluster.written.append(value)
