"""Index of the parked events of one partition."""

import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from streamer.events import Entry
from streamer.log.kafka.records.chunks import ChunkOffsets
from streamer.ports import LaneChange


class ParkedIndex:
    """Chunk offsets of the parked events of one source partition; the bodies stay in the log.

    One thread changes it and knows its changes; another can call `locations`
    meanwhile.
    """

    def __init__(self, lanes: Mapping[str, Mapping[int, ChunkOffsets]] | None = None) -> None:
        self._changing = threading.Lock()
        self._lanes: defaultdict[str, set[int]] = defaultdict(set)
        self._locations: dict[int, ChunkOffsets] = {}
        for lane, locations in (lanes or {}).items():
            self._lanes[lane].update(locations)
            self._locations.update(locations)

    def chunk_offsets(self, offset: int) -> ChunkOffsets | None:
        """Return the offsets of an event's chunks, `None` if it is not parked."""
        return self._locations.get(offset)

    def locations(self, offsets: Iterable[int]) -> dict[int, ChunkOffsets]:
        """Return the chunk offsets of the parked events among `offsets`, in their order."""
        with self._changing:
            return {offset: self._locations[offset] for offset in offsets if offset in self._locations}

    def offsets(self, lane: str) -> frozenset[int]:
        """Return the offsets of a lane's parked events."""
        return frozenset(self._lanes.get(lane, ()))

    def change(self, change: LaneChange, locations: Mapping[int, ChunkOffsets]) -> None:
        """Apply `change`, which is in the log with its joined events at `locations`."""
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
    """Return the entries that `change` parks and does not let go of again."""
    left = set(change.left)
    return [] if change.setback is None else [each for each in change.joined if each.offset not in left]
