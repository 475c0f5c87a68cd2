"""Parked lanes of a subscriber, in memory."""

from collections import defaultdict
from collections.abc import Sequence

from streamer.events import Entry, ParkedLane, Partition, Setback
from streamer.ports import LaneChange


class ParkedEvents:
    """The parked lanes of one subscriber with their events."""

    def __init__(self) -> None:
        self._entries: dict[tuple[Partition, str], dict[int, Entry]] = defaultdict(dict)
        self._setbacks: dict[tuple[Partition, str], Setback] = {}

    def change(self, changes: Sequence[LaneChange]) -> None:
        """Apply `changes` of lanes."""
        for change in changes:
            name = change.partition, change.lane
            self._entries[name].update((entry.offset, entry) for entry in change.joined)
            for offset in change.left:
                self._entries[name].pop(offset, None)
            if change.setback is None:
                del self._entries[name]
                self._setbacks.pop(name, None)
            else:
                self._setbacks[name] = change.setback

    def lanes(self, partition: Partition) -> Sequence[ParkedLane]:
        """Return the parked lanes of a partition."""
        return [
            ParkedLane(lane=lane, offsets=tuple(sorted(self._entries[of, lane])), setback=setback)
            for (of, lane), setback in self._setbacks.items()
            if of == partition
        ]

    def entries(self, partition: Partition, offsets: Sequence[int]) -> Sequence[Entry]:
        """Return the parked events among `offsets`, in that order."""
        held = {
            offset: entry
            for (of, _), entries in self._entries.items()
            if of == partition
            for offset, entry in entries.items()
        }
        return [held[offset] for offset in offsets if offset in held]
