"""Readers of Streamer's own topics, which find foreign records and receipts for operators."""

from collections.abc import Callable, Collection
from contextlib import closing

import orjson
from confluent_kafka import Message, TopicPartition

from streamer.errors import ForeignRecord, LogMisconfigured
from streamer.events import Event, Receipt
from streamer.log.continuity import LastStates
from streamer.log.kafka.append.encoder import checkpoint_of
from streamer.log.kafka.cluster.bounded_reader import BoundedReader
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors
from streamer.log.kafka.cluster.names import Names, partition_of
from streamer.log.kafka.cluster.offsets import look_up
from streamer.log.kafka.cluster.producer import set_aside
from streamer.log.kafka.control.controls import apply_message
from streamer.log.kafka.control.letters import LetterIndex
from streamer.log.kafka.history.event_topics import known_topics
from streamer.log.kafka.records.controls import AppliedControls
from streamer.log.kafka.records.parked import ParkedRecordKey
from streamer.log.kafka.topics.admin import KafkaAdmin, TopicState
from streamer.log.records import RECORD_START, decode_audit, decode_receipt, decode_setback
from streamer.ports import FoundReceipts

_AT_ONCE = 500
_POLL_S = 0.5
# Most records to read in each partition; the number is limited because there can be many
# receipts.
_LAST_RECORDS = 20_000

_Look = Callable[[Message], object]


class OwnTopics:
    """Checks the last records of Streamer's own topics with the decoders of these topics; blocking."""

    def __init__(self, clients: Clients) -> None:
        """Connect on demand; foreign records are reported to `clients.foreign`."""
        self._clients = clients
        self._foreign = clients.foreign
        self._errors = KafkaErrors(clients.settings)
        self._names = Names.of(clients.settings)

    def foreign_records(self, topics: Collection[TopicState]) -> list[str]:
        """Return the positions of the foreign records in `topics`; topics of events are not checked.

        Raises `LogUnavailable`, and `LogMisconfigured` for a record of a newer
        Streamer.
        """
        with closing(KafkaAdmin(self._clients)) as admin:
            for topic in topics:
                if (look := self._reader_of(topic.name)) is not None:
                    with self._errors.explained(doing="reading", subject=f"topic {topic.name}"):
                        self._read(topic, look, admin)
        return self._foreign.places

    def _reader_of(self, topic: str) -> _Look | None:
        names, states = self._names, LastStates(lambda _: False)
        letters, controls = LetterIndex(self._foreign), AppliedControls()
        readers: dict[str, _Look] = {
            names.checkpoints: lambda message: checkpoint_of(message, self._foreign),
            names.continuity: lambda message: apply_message(message, states, self._foreign),
            names.dead_letters: lambda message: letters.apply([message]),
            names.control: lambda message: controls.apply(message.key(), message.value()),
            names.audit: lambda message: decode_audit(message.value() or b""),
            names.receipts: lambda message: decode_receipt(message.value() or b""),
        }
        return _look_at_parked if names.is_parked(topic) else readers.get(topic)

    def _read(self, topic: TopicState, look: _Look, admin: KafkaAdmin) -> None:
        bounds = self._clients.retry().call(admin.bounds, topic.name, range(topic.partitions))
        ranges = {number: (max(begin, end - _LAST_RECORDS), end) for number, (begin, end) in bounds.items()}
        with BoundedReader(self._clients, self._errors, topic.name, ranges, over_holes=True) as reader:
            while not reader.is_over:
                for message in reader.read(_AT_ONCE, _POLL_S):
                    try:
                        look(message)
                    except (ForeignRecord, ValueError) as exc:
                        set_aside(self._foreign, message, exc)


def _look_at_parked(message: Message) -> None:
    key, value = ParkedRecordKey.decode(message.key()), message.value()
    if value is None:
        return
    if key.offset is None:
        decode_setback(value)
    elif key.chunk == 0 and not value.startswith(RECORD_START):
        raise ValueError("the record's value is not an event")


_MOST_SCANNED = 500_000


class ReceiptReader:
    """Reads the receipts of an event from the partition of the event's key; blocking."""

    def __init__(self, clients: Clients, admin: KafkaAdmin) -> None:
        self._clients = clients
        self._admin = admin
        self._errors = KafkaErrors(clients.settings)
        self._topic = Names.of(clients.settings).receipts
        self._retry = clients.retry()

    def receipts(self, event: Event, since: float) -> FoundReceipts:
        """Return the receipts of `event` that were recorded since `since`.

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
        """Return the receipt of `event` in a record, if there is one; skip and log a foreign record."""
        value = message.value()
        if value is None:
            return []
        # Decoding each record would cost far more than this check.
        names_event = message.key() == key and orjson.dumps({"event_id": event.id})[1:-1] in value
        if value.startswith(RECORD_START) and not names_event:
            return []
        try:
            receipt = decode_receipt(value)
        except ForeignRecord as exc:
            set_aside(self._clients.foreign, message, exc)
            return []
        except LogMisconfigured:
            # A newer Streamer wrote the record.
            return []
        return [receipt] if names_event and receipt.event_id == event.id else []
