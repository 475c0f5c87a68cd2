"""Where the parked events of one partition lie."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from streamer.events import Entry
from streamer.log.kafka.records.chunks import ChunkOffsets
from streamer.ports import LaneChange


class ParkedIndex:
    """The parked events of one source partition, by their offsets there; their bodies stay in the log.

    One thread changes it. Another may ask for a place meanwhile, which is one
    step of the interpreter.
    """

    def __init__(self, lanes: Mapping[str, Mapping[int, ChunkOffsets]] | None = None) -> None:
        self._lanes: defaultdict[str, set[int]] = defaultdict(set)
        self._chunk_offsets: dict[int, ChunkOffsets] = {}
        for lane, locations in (lanes or {}).items():
            self._lanes[lane].update(locations)
            self._chunk_offsets.update(locations)

    def chunk_offsets(self, offset: int) -> ChunkOffsets | None:
        """Return where an event lies, `None` if it is not parked."""
        return self._chunk_offsets.get(offset)

    def offsets(self, lane: str) -> frozenset[int]:
        """Return what is parked of a lane."""
        return frozenset(self._lanes.get(lane, ()))

    def change(self, change: LaneChange, locations: Mapping[int, ChunkOffsets]) -> None:
        """Note that `change` is in the log, where what joined lies at `locations`."""
        for offset in self._gone(change):
            self._chunk_offsets.pop(offset, None)
            self._lanes[change.lane].discard(offset)
        if change.setback is None:
            self._lanes.pop(change.lane, None)
            return
        joined = {entry.offset: locations[entry.offset] for entry in entries_to_park(change)}
        self._lanes[change.lane].update(joined)
        self._chunk_offsets.update(joined)

    def _gone(self, change: LaneChange) -> Sequence[int]:
        return [*self._lanes[change.lane]] if change.setback is None else change.left


def entries_to_park(change: LaneChange) -> list[Entry]:
    """Return what is parked by `change` and not let go of by the same."""
    left = set(change.left)
    return [] if change.setback is None else [each for each in change.joined if each.offset not in left]
