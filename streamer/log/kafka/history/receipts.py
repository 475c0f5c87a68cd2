"""Reader of the receipts of one event."""

import time
from contextlib import closing

import orjson
from confluent_kafka import Message, TopicPartition

from streamer.errors import ForeignRecord, LogMisconfigured
from streamer.events import Event, Receipt
from streamer.log.kafka.cluster.bounded_reader import BoundedReader
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.partitioner import partition_of
from streamer.log.kafka.cluster.record import set_aside
from streamer.log.kafka.cluster.retry import RETRY_LIMIT_S, RetryPolicy
from streamer.log.kafka.feed.initial_offsets import look_up
from streamer.log.kafka.history.event_topics import known_topics
from streamer.log.kafka.topics.admin import KafkaAdmin
from streamer.log.records import RECORD_START, decode_receipt
from streamer.ports import FoundReceipts

_AT_ONCE = 500
_POLL_S = 0.5
_MOST_SCANNED = 500_000


class ReceiptReader:
    """Reads the partition of an event's key in the topic of receipts. Blocking."""

    def __init__(self, clients: Clients, admin: KafkaAdmin) -> None:
        self._clients = clients
        self._admin = admin
        self._errors = KafkaErrors(clients.settings)
        self._topic = Names.of(clients.settings).receipts
        self._retry = RetryPolicy(limit_s=RETRY_LIMIT_S, wait=time.sleep)

    def receipts(self, event: Event, since: float) -> FoundReceipts:
        """Return the receipts of `event` recorded since `since`.

        Raises `LogUnavailable`, `LogMisconfigured`.
        """
        partitions = known_topics(self._admin).get(self._topic, 0)
        if not partitions:
            return FoundReceipts(receipts=[])
        key = event.key.encode("utf-8", "replace")
        number = partition_of(key, partitions)
        found: list[Receipt] = []
        with self._errors.explained(doing="reading", subject=f"topic {self._topic}"):
            begin, end = self._span(number, since)
            last = min(end, begin + _MOST_SCANNED)
            span = {number: (begin, last)}
            with BoundedReader(self._clients, self._errors, self._topic, span, over_holes=True) as reader:
                while not reader.is_over:
                    for message in reader.read(_AT_ONCE, _POLL_S):
                        found += self._receipts(message, event, key)
        return FoundReceipts(receipts=found, is_whole=last == end)

    def _span(self, number: int, since: float) -> tuple[int, int]:
        first, end = self._retry.call(self._admin.bounds, self._topic, [number])[number]
        configuration = {
            "group.id": Names.of(self._clients.settings).ingest_group,
            "enable.auto.commit": False,
        }
        with closing(self._clients.consumer(self._errors, configuration)) as consumer:
            places = [TopicPartition(self._topic, number)]
            [at] = self._retry.call(look_up, consumer, places, max(0, round(since * 1000)))
        return (max(first, at.offset) if at.offset >= 0 else end), end

    def _receipts(self, message: Message, event: Event, key: bytes) -> list[Receipt]:
        """Return the receipt of `event` in a record, if it holds one; set aside a foreign record."""
        value = message.value()
        if value is None:
            return []
        # Decoding each record would cost far more than a look at its first bytes.
        names_event = message.key() == key and orjson.dumps({"event_id": event.id})[1:-1] in value
        if value.startswith(RECORD_START) and not names_event:
            return []
        try:
            receipt = decode_receipt(value)
        except ForeignRecord as exc:
            set_aside(self._clients.foreign, message, exc)
            return []
        except LogMisconfigured:
            # A newer Streamer wrote it.
            return []
        return [receipt] if names_event and receipt.event_id == event.id else []
