"""Search for foreign records in Streamer's own topics."""

from collections.abc import Callable, Collection

from confluent_kafka import Message

from streamer.errors import ForeignRecord
from streamer.log.continuity import LastStates
from streamer.log.foreign_records import ForeignRecords
from streamer.log.kafka.append.checkpoints import checkpoint_of
from streamer.log.kafka.cluster.bounded_reader import BoundedReader
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.record import set_aside
from streamer.log.kafka.control.continuity import apply_message
from streamer.log.kafka.control.letter_index import LetterIndex
from streamer.log.kafka.records.controls import AppliedControls
from streamer.log.kafka.records.parked import ParkedRecordKey
from streamer.log.kafka.topics.admin import KafkaAdmin, TopicState
from streamer.log.records import RECORD_START, decode_audit, decode_receipt, decode_setback
from streamer.settings import KafkaLogSettings

_AT_ONCE = 500
_POLL_S = 0.5
# Of each partition: receipts can be many.
_LAST_RECORDS = 20_000

_Look = Callable[[Message], object]


class OwnTopics:
    """Reads the last records of Streamer's own topics, as their readers do. Blocking."""

    def __init__(self, settings: KafkaLogSettings) -> None:
        """Connect lazily."""
        self._foreign = ForeignRecords()
        self._clients = Clients(settings=settings, foreign=self._foreign)
        self._admin = KafkaAdmin(self._clients)
        self._errors = KafkaErrors(settings)
        self._names = Names.of(settings)

    def foreign_records(self, topics: Collection[TopicState]) -> list[str]:
        """Return the places of the foreign records in those of `topics` that are Streamer's own.

        Raises `LogUnavailable`, and `LogMisconfigured` for a record of a newer
        Streamer.
        """
        for topic in topics:
            if (look := self._reader_of(topic.name)) is not None:
                with self._errors.explained(doing="reading", subject=f"topic {topic.name}"):
                    self._read(topic, look)
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

    def _read(self, topic: TopicState, look: _Look) -> None:
        bounds = self._admin.bounds(topic.name, range(topic.partitions))
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
        raise ValueError("its value is not an event")
