"""Changes of parked lanes in a settlement: their records, and the update of the index."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from streamer.events import Partition
from streamer.log.kafka.cluster.clients import MAX_MESSAGE_BYTES
from streamer.log.kafka.cluster.record import ProducerRecord, Tombstone
from streamer.log.kafka.parked.index import ParkedIndex, entries_to_park
from streamer.log.kafka.records.chunks import CHUNK_BYTES, ChunkOffsets
from streamer.log.kafka.records.parked import ParkedTopic, event_keys, lane_key
from streamer.ports import LaneChange

_MAX_CHUNKS = 1 + MAX_MESSAGE_BYTES // CHUNK_BYTES


class ParkedChanges:
    """Changes of lanes in one settlement: their records, and the index update once these are written."""

    def __init__(
        self, topic: ParkedTopic, changes: Sequence[LaneChange], known: Mapping[Partition, ParkedIndex]
    ) -> None:
        """Build the records of `changes`; `known` indexes the parked events of their partitions."""
        self._topic = topic
        self._changes = changes
        self._known = known
        # Events that earlier changes have added, by lane: keys of chunks by offset.
        self._added: dict[tuple[Partition, str], dict[int, list[bytes]]] = defaultdict(dict)
        self.records: list[ProducerRecord | Tombstone] = []
        for change in changes:
            self._record(change)

    def is_placed(self, written: Mapping[bytes, int]) -> bool:
        """Return whether `written` has the offsets of all bodies."""
        return all(
            key in written
            for change in self._changes
            for entry in entries_to_park(change)
            for key in self._added[change.partition, change.lane][entry.offset]
        )

    def conclude(self, written: Mapping[bytes, int]) -> None:
        """Update the index once the records are in the log, with bodies at the offsets `written` by key."""
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
        # An unknown event can have been parked by a settlement whose answer was lost.
        chunks = _MAX_CHUNKS if known is None else len(known)
        return event_keys(change.partition, change.lane, offset, chunks)
