"""Index of one partition's parked events, changes of the index, and the fetch of event bodies."""

import asyncio
import threading
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streamer.errors import LogUnavailable
from streamer.events import Entry, Partition
from streamer.log.kafka.cluster.clients import MAX_MESSAGE_BYTES, Clients
from streamer.log.kafka.cluster.errors import KafkaErrors
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.producer import ProducerRecord, Tombstone, foreign
from streamer.log.kafka.cluster.threads import conclude
from streamer.log.kafka.records.events import CHUNK_BYTES, ChunkOffsets
from streamer.log.kafka.records.parked import ParkedRecordKey, ParkedTopic, event_keys, lane_key
from streamer.log.records import decode_event
from streamer.ports import LaneChange


class ParkedIndex:
    """Chunk offsets of the parked events of one source partition; the event bodies stay in the log.

    One thread changes the index and reads it; another thread can call `locations`
    at the same time.
    """

    def __init__(self, lanes: Mapping[str, Mapping[int, ChunkOffsets]] | None = None) -> None:
        self._changing = threading.Lock()
        self._lanes: defaultdict[str, set[int]] = defaultdict(set)
        self._locations: dict[int, ChunkOffsets] = {}
        for lane, locations in (lanes or {}).items():
            self._lanes[lane].update(locations)
            self._locations.update(locations)

    def chunk_offsets(self, offset: int) -> ChunkOffsets | None:
        """Return the offsets of an event's chunks, or `None` if the event is not parked."""
        return self._locations.get(offset)

    def locations(self, offsets: Iterable[int]) -> dict[int, ChunkOffsets]:
        """Return the chunk offsets of the parked events among `offsets`, in the order of `offsets`."""
        with self._changing:
            return {offset: self._locations[offset] for offset in offsets if offset in self._locations}

    def offsets(self, lane: str) -> frozenset[int]:
        """Return the offsets of a lane's parked events."""
        return frozenset(self._lanes.get(lane, ()))

    def change(self, change: LaneChange, locations: Mapping[int, ChunkOffsets]) -> None:
        """Apply a written `change`; `locations` has the chunk offsets of the events that join the lane."""
        joined = {entry.offset: locations[entry.offset] for entry in entries_to_park(change)}
        with self._changing:
            for offset in self._gone(change):
                self._locations.pop(offset, None)
                self._lanes[change.lane].discard(offset)
            if change.setback is None:
                self._lanes.pop(change.lane, None)
            else:
                self._lanes[change.lane].update(joined)
                self._locations.update(joined)

    def _gone(self, change: LaneChange) -> Sequence[int]:
        return [*self._lanes[change.lane]] if change.setback is None else change.left


def entries_to_park(change: LaneChange) -> list[Entry]:
    """Return the entries that `change` parks and does not release again."""
    left = set(change.left)
    return [] if change.setback is None else [each for each in change.joined if each.offset not in left]


_MAX_CHUNKS = 1 + MAX_MESSAGE_BYTES // CHUNK_BYTES


class ParkedChanges:
    """Changes of lanes in one settlement: creates their records, and then updates the index."""

    def __init__(
        self, topic: ParkedTopic, changes: Sequence[LaneChange], known: Mapping[Partition, ParkedIndex]
    ) -> None:
        """Build the records of `changes`; `known` has the index of each partition."""
        self._topic = topic
        self._changes = changes
        self._known = known
        # Events that earlier changes have added: the keys of their chunks, by lane and event
        # offset.
        self._added: dict[tuple[Partition, str], dict[int, list[bytes]]] = defaultdict(dict)
        self.records: list[ProducerRecord | Tombstone] = []
        for change in changes:
            self._record(change)

    def is_placed(self, written: Mapping[bytes, int]) -> bool:
        """Return whether `written` has the offsets of all event bodies."""
        return all(
            key in written
            for change in self._changes
            for entry in entries_to_park(change)
            for key in self._added[change.partition, change.lane][entry.offset]
        )

    def conclude(self, written: Mapping[bytes, int]) -> None:
        """Update the index after the records were written; `written` has the records' offsets by key."""
        for change in self._changes:
            added = self._added[change.partition, change.lane]
            locations: dict[int, ChunkOffsets] = {
                entry.offset: tuple(written[key] for key in added[entry.offset])
                for entry in entries_to_park(change)
            }
            self._known[change.partition].change(change, locations)

    def _record(self, change: LaneChange) -> None:
        source, added = change.partition, self._added[change.partition, change.lane]
        for entry in entries_to_park(change):
            records = self._topic.event(entry, change.lane)
            added[entry.offset] = [record.key for record in records]
            self.records += records
        for offset in self._leaving(change):
            self.records += self._topic.without(source, self._keys(change, offset))
        if change.setback is None:
            self.records += self._topic.without(source, [lane_key(source, change.lane)])
        else:
            self.records.append(self._topic.lane(source, change.lane, change.setback))

    def _leaving(self, change: LaneChange) -> set[int]:
        leaving = set(change.left)
        if change.setback is None:
            leaving |= self._known[change.partition].offsets(change.lane)
            leaving |= self._added[change.partition, change.lane].keys()
        return leaving

    def _keys(self, change: LaneChange, offset: int) -> list[bytes]:
        added = self._added[change.partition, change.lane].get(offset)
        if added is not None:
            return added
        known = self._known[change.partition].chunk_offsets(offset)
        # A settlement whose answer was lost can have parked an event that the index does not know.
        chunks = _MAX_CHUNKS if known is None else len(known)
        return event_keys(change.partition, change.lane, offset, chunks)


_DEADLINE_S = 10.0
_POLL_S = 0.1
# A seek takes as much time as reading this many small records.
_WORTH_READING_OVER = 200
# A chunk has up to half a megabyte, and all chunks of a fetch are in memory at the same time.
_PARTS_AT_ONCE = 100
_CONFIGURATION = {
    # The requested records belong to committed transactions, so the fetch need not wait for
    # open ones.
    "isolation.level": "read_uncommitted",
    "enable.auto.commit": False,
    "auto.offset.reset": "error",
    # A seek takes 0.7 ms with these values, and 10 to 600 ms with the defaults.
    "fetch.queue.backoff.ms": 1,
    # A fetch request is still running after the last record, and the next seek waits for its end.
    "fetch.wait.max.ms": 10,
    "max.partition.fetch.bytes": 64 * 1024,
    "queued.min.messages": 100,
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Asked:
    """Requested events of one source partition: their chunk offsets by event offset."""

    source: Partition
    places: Mapping[int, ChunkOffsets]
    answer: asyncio.Future[list[Entry]]


class ParkedFetch:
    """Reads parked events with its own thread and consumer, and answers on the loop.

    So a fetch and a rebalance never wait for each other. Small waiting requests are
    read together. A read takes at most 10 s.
    """

    def __init__(self, clients: Clients, topic: ParkedTopic) -> None:
        """Prepare the thread, on the running loop; the first request connects."""
        self._clients = clients
        self._topic = topic
        self._errors = KafkaErrors(clients.settings)
        self._loop = asyncio.get_running_loop()
        self._executor = ThreadPoolExecutor(1, f"recall {topic.name}")
        self._waiting: deque[_Asked] = deque()
        self._consumer: Consumer | None = None
        self._is_closed = False

    async def fetch(self, source: Partition, places: Mapping[int, ChunkOffsets]) -> list[Entry]:
        """Return the events at the chunk offsets `places`, in order; raises `LogUnavailable`."""
        if self._is_closed:
            raise LogUnavailable("the feed was closed")
        answer: asyncio.Future[list[Entry]] = self._loop.create_future()
        self._waiting.append(_Asked(source=source, places=places, answer=answer))
        self._executor.submit(self._serve)
        return await answer

    def close(self) -> None:
        """Finish pending requests, then close the consumer."""
        self._is_closed = True
        self._executor.submit(self._disconnect)
        self._executor.shutdown(wait=False)

    # On the thread.

    def _serve(self) -> None:
        asked = self._taken()
        if not asked:
            return
        try:
            with self._errors.explained(doing="reading", subject=f"topic {self._topic.name}"):
                found = self._found(self._wanted(asked))
        except Exception as exc:  # noqa: BLE001 - the callers raise it
            for each in asked:
                self._tell(each, exc)
            self._disconnect()
            return
        self._errors.clear()
        for each in asked:
            self._tell(each, self._entries(each, found))

    def _taken(self) -> Sequence[_Asked]:
        """Take at least one waiting request, and further requests while their total size is small."""
        taken: list[_Asked] = []
        parts = 0
        while self._waiting and parts < _PARTS_AT_ONCE:
            taken.append(self._waiting.popleft())
            parts += sum(map(len, taken[-1].places.values()))
        return taken

    def _wanted(self, asked: Sequence[_Asked]) -> Mapping[int, list[int]]:
        """Return the offsets to read in each partition of the parked topic, in rising order."""
        wanted: defaultdict[int, set[int]] = defaultdict(set)
        for each in asked:
            for place in each.places.values():
                wanted[self._topic.home(each.source)].update(place)
        return {home: sorted(offsets) for home, offsets in wanted.items()}

    def _found(self, wanted: Mapping[int, list[int]]) -> Mapping[tuple[int, int], Message]:
        deadline = self._clients.clock.monotonic() + _DEADLINE_S
        consumer = self._consumer = self._consumer or self._connected()
        found = {
            (home, message.offset() or 0): message
            for home, offsets in wanted.items()
            for message in self._read(consumer, home, deque(offsets), deadline)
        }
        # Otherwise, the consumer would continue to fetch records that no request needs.
        consumer.unassign()
        return found

    def _read(self, consumer: Consumer, home: int, wanted: deque[int], deadline: float) -> Iterator[Message]:
        position = None
        while wanted:
            if position is None or wanted[0] - position > _WORTH_READING_OVER:
                position = wanted[0]
                consumer.assign([TopicPartition(self._topic.name, home, position)])
            message = consumer.poll(_POLL_S)
            if message is None:
                if self._clients.clock.monotonic() > deadline:
                    raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
                continue
            if (error := message.error()) is not None:
                raise KafkaException(error)
            offset = message.offset() or 0
            position = offset + 1
            if offset >= wanted[0]:
                if offset != wanted.popleft():
                    raise _moved(self._topic.name)
                yield message

    def _entries(self, asked: _Asked, found: Mapping[tuple[int, int], Message]) -> list[Entry] | Exception:
        home = self._topic.home(asked.source)
        try:
            return [
                self._entry(asked.source, offset, [found[home, part] for part in place])
                for offset, place in asked.places.items()
            ]
        except Exception as exc:  # noqa: BLE001 - the caller raises it
            return exc

    def _entry(self, source: Partition, offset: int, parts: Sequence[Message]) -> Entry:
        try:
            keys = [ParkedRecordKey.decode(message.key()) for message in parts]
        except ValueError as exc:
            raise foreign(parts[0], exc) from exc
        if any((key.topic, key.number, key.offset) != (source.topic, source.number, offset) for key in keys):
            raise _moved(self._topic.name)
        value = b"".join(message.value() or b"" for message in parts)
        return Entry(partition=source, offset=offset, event=decode_event(value), size=len(value))

    def _tell(self, asked: _Asked, answer: list[Entry] | Exception) -> None:
        self._loop.call_soon_threadsafe(conclude, asked.answer, answer)

    def _connected(self) -> Consumer:
        # The client requires a group id to assign partitions, although it joins no group.
        group = {"group.id": Names.of(self._clients.settings).ingest_group}
        return self._clients.consumer(self._errors, {**_CONFIGURATION, **group})

    def _disconnect(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None


def _moved(topic: str) -> LogUnavailable:
    return LogUnavailable(f"a parked event is no longer at the known offset in topic {topic}: try again")
