"""Writer of the states of one subscriber's settlements."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from confluent_kafka import KafkaError, KafkaException, Message

from streamer.errors import LogUnavailable
from streamer.events import JsonObject, Partition, RecordState
from streamer.log.kafka.cluster.bounded_reader import UncommittedReader
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.errors import KafkaErrors
from streamer.log.kafka.cluster.producer import ProducerRecord, Tombstone
from streamer.log.kafka.records.states import StateEncoder, WrittenState
from streamer.log.kafka.states.cache import WrittenSpan
from streamer.log.kafka.states.states import KafkaStates, StateTopic

CONFLICT = KafkaError._CONFLICT
"""Code of the error that another process has written one of the records of a transaction."""

_AT_ONCE = 2_000
_POLL_S = 0.05


@dataclass(slots=True)
class Wrote:
    """States that one transaction writes to a partition, and the offsets of their records.

    `offsets` also has the offsets of earlier attempts, whose transactions were aborted.
    """

    states: list[WrittenState] = field(default_factory=list)
    offsets: set[int] = field(default_factory=set)
    _new: list[int] = field(default_factory=list)
    _records: int = 0

    def begin(self) -> None:
        """Begin a new attempt."""
        self._records = 0
        self.states.clear()
        self.offsets.update(self._new)
        self._new.clear()

    def write(self, state: WrittenState) -> None:
        """Note a state whose records are about to be written."""
        self.states.append(state)
        self._records += len(state.records)

    def add(self, offset: int) -> None:
        """Note the offset of one more record."""
        self._new.append(offset)

    @property
    def span(self) -> WrittenSpan | None:
        """Offsets of the records of this attempt; `None` unless the brokers have reported all of them."""
        if not self._new or len(self._new) != self._records:
            return None
        return WrittenSpan(min(self._new), max(self._new), self._records)

    def wrote(self, offset: int | None) -> bool:
        """Return true if this process wrote the record at `offset`."""
        return offset in self.offsets or offset in self._new


class StateWriter:
    """Records of one settlement's states, and their way into the local copies once they are committed.

    A state is made from the state that was looked up before. So a transaction is
    committed only if no other process has written the same record since the look-up.
    That can happen only after partitions were added to a topic of changes, because
    otherwise one process owns all changes of a record.
    """

    def __init__(self, clients: Clients, states: KafkaStates, encoder: StateEncoder) -> None:
        self._clients = clients
        self._encoder = encoder
        self._states = states
        self._wrote: defaultdict[tuple[StateTopic, int], Wrote] = defaultdict(Wrote)
        self._places: dict[tuple[str, int], Wrote] = {}

    def records(self, states: Sequence[RecordState], now_ms: int) -> list[ProducerRecord | Tombstone]:
        """Return the records of `states`, in order, for a new transaction.

        Raises `LogUnavailable`, and `StateSchemaMissing` if a state needs a schema first.
        """
        for each in self._wrote.values():
            each.begin()
        records: list[ProducerRecord | Tombstone] = []
        former: dict[tuple[str, str], JsonObject | None] = {}
        found: dict[tuple[str, int], Wrote] = {}
        topics = {entity: self._states.topic(entity) for entity in {each.entity for each in states}}
        for state in states:
            topic = topics[state.entity]
            number = topic.home(state.record_id)
            place = Partition(topic=topic.name, number=number)
            before = None
            if self._encoder.envelope.has_before:
                key = state.entity, state.record_id
                before = former[key] if key in former else self._before(topic, number, state.record_id)
                former[key] = state.fields
            written = self._encoder.encode(state, place, now_ms, before)
            if (wrote := found.get((topic.name, number))) is None:
                wrote = found[topic.name, number] = self._wrote[topic, number]
            wrote.write(written)
            records += written.records
        self._places.update(found)
        return records

    def _before(self, topic: StateTopic, number: int, record_id: str) -> JsonObject | None:
        """Return the fields of a record in the local copy, or `None` if the record is not there."""
        cache = self._states.cache(topic, number)
        if cache is None or not cache.is_complete:
            raise LogUnavailable(f"the copy of topic {topic.name} must be read again first")
        return next((found.fields for found in cache.get([record_id])), None)

    def delivered(self, message: Message) -> None:
        """Note the offset of a record that a broker has stored in the open transaction."""
        wrote, offset = self._places.get((str(message.topic()), message.partition() or 0)), message.offset()
        if wrote is not None and offset is not None and offset >= 0:
            wrote.add(offset)

    def verify(self) -> None:
        """Check that no other process has written one of these records; raises `KafkaException`."""
        for (topic, number), wrote in self._wrote.items():
            if self._is_taken(topic, number, wrote):
                raise KafkaException(
                    KafkaError(
                        CONFLICT,
                        f"another process has written a state in partition {number} of topic {topic.name}, "
                        "so this process reads the events again",
                    )
                )

    def conclude(self) -> None:
        """Add the states of the last transaction to the local copies; the transaction has taken effect."""
        for (topic, number), wrote in self._wrote.items():
            cache = self._states.cache(topic, number)
            if wrote.states and cache is not None:
                cache.apply(wrote.states, wrote.span)
        self._wrote.clear()
        self._places.clear()

    def _is_taken(self, topic: StateTopic, number: int, wrote: Wrote) -> bool:
        """Return whether another process has written one of the records since the look-up."""
        cache, span = self._states.cache(topic, number), wrote.span
        if cache is None or not wrote.states:
            return False
        if span is None:
            # The brokers have not reported where the records are.
            return True
        if (unread := cache.unread(span)) is None:
            return False
        keys = {each.state.record_id.encode() for each in wrote.states}
        errors = KafkaErrors(self._clients.settings)
        try:
            with UncommittedReader(
                self._clients, errors, topic.name, {number: unread}, over_holes=True
            ) as reader:
                while not reader.is_over:
                    for message in reader.read(_AT_ONCE, _POLL_S):
                        if message.key() in keys and not wrote.wrote(message.offset()):
                            return True
        except LogUnavailable as exc:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, str(exc))) from exc
        return False
