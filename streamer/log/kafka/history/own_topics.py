"""Readers of Streamer's own topics, which find foreign records and receipts for operators."""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Self

import orjson
from confluent_kafka import Message, TopicPartition

from streamer.errors import ForeignRecord, LogMisconfigured
from streamer.events import Event, Receipt
from streamer.log.continuity import LastStates
from streamer.log.kafka.append.encoder import checkpoint_of
from streamer.log.kafka.cluster.bounded_reader import BoundedReader, look_up
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors
from streamer.log.kafka.cluster.names import Names, partition_of
from streamer.log.kafka.cluster.producer import set_aside
from streamer.log.kafka.control.continuity import apply_message
from streamer.log.kafka.control.letters import LetterIndex
from streamer.log.kafka.history.event_topics import known_topics
from streamer.log.kafka.records.controls import AppliedControls
from streamer.log.kafka.records.parked import ParkedRecordKey
from streamer.log.kafka.records.states import check_state
from streamer.log.kafka.topics.admin import KafkaAdmin, TopicState
from streamer.log.records import (
    RECORD_START,
    decode_audit,
    decode_process_record,
    decode_receipt,
    decode_setback,
)
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
            names.processes: lambda message: decode_process_record(message.value() or b""),
        }
        if names.is_state(topic):
            return check_state
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


class ReceiptReader:
    """Reads the receipts of events from the partitions of the events' keys; blocking."""

    def __init__(self, clients: Clients, admin: KafkaAdmin) -> None:
        self._clients = clients
        self._admin = admin
        self._errors = KafkaErrors(clients.settings)
        self._topic = Names.of(clients.settings).receipts
        self._retry = clients.retry()

    def receipts(self, events: Sequence[Event], since: float, most: int) -> FoundReceipts:
        """Return the receipts of `events` since `since`; the search examines about `most` receipts.

        Raises `LogUnavailable`, `LogMisconfigured`.
        """
        partitions = known_topics(self._admin).get(self._topic, 0)
        if not partitions or not events:
            return FoundReceipts(receipts=[])
        wanted = _WantedReceipts.of(events)
        numbers = sorted({partition_of(key, partitions) for key in wanted.members})
        found: list[Receipt] = []
        with self._errors.explained(doing="reading", subject=f"topic {self._topic}"):
            spans = self._spans(numbers, since)
            some = most // len(numbers)
            read = {number: (begin, min(end, begin + some)) for number, (begin, end) in spans.items()}
            with BoundedReader(self._clients, self._errors, self._topic, read, over_holes=True) as reader:
                while not reader.is_over:
                    for message in reader.read(_AT_ONCE, _POLL_S):
                        found += self._receipts(message, wanted)
        return FoundReceipts(receipts=found, is_whole=read == spans)

    def _spans(self, numbers: Sequence[int], since: float) -> dict[int, tuple[int, int]]:
        """Return the offset of each partition's first record since `since`, and its end."""
        bounds = self._retry.call(self._admin.bounds, self._topic, numbers)
        configuration = {
            "group.id": Names.of(self._clients.settings).ingest_group,
            "enable.auto.commit": False,
        }
        with closing(self._clients.consumer(self._errors, configuration)) as consumer:
            places = [TopicPartition(self._topic, number) for number in numbers]
            begins = self._retry.call(look_up, consumer, places, max(0, round(since * 1000)))
        spans = {}
        for at in begins:
            first, end = bounds[at.partition]
            spans[at.partition] = (max(first, at.offset) if at.offset >= 0 else end, end)
        return spans

    def _receipts(self, message: Message, wanted: "_WantedReceipts") -> list[Receipt]:
        """Return the wanted receipt in a record, if there is one; skip and log a foreign record."""
        value = message.value()
        if value is None:
            return []
        # Decoding each record would cost far more than this check.
        names_event = wanted.names_event(message.key(), value)
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
        return [receipt] if names_event and receipt.event_id in wanted.ids else []


@dataclass(frozen=True, slots=True, kw_only=True)
class _WantedReceipts:
    """Ids of events, and the JSON members with these ids, by the keys of their receipts' records."""

    ids: frozenset[str]
    members: Mapping[bytes, Sequence[bytes]]

    @classmethod
    def of(cls, events: Sequence[Event]) -> Self:
        members = defaultdict(list)
        for event in events:
            member = orjson.dumps({"event_id": event.id})[1:-1]
            members[event.key.encode("utf-8", "replace")].append(member)
        return cls(ids=frozenset(each.id for each in events), members=members)

    def names_event(self, key: str | bytes | None, value: bytes | str) -> bool:
        """Return true if a record with this key and value can be a wanted receipt."""
        members = self.members.get(key, ()) if isinstance(key, bytes) else ()
        return isinstance(value, bytes) and any(each in value for each in members)
