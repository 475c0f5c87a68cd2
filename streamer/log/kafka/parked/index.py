"""Where the parked events of one partition lie."""

import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from streamer.events import Entry
from streamer.log.kafka.records.chunks import Place
from streamer.ports import LaneChange


class ParkedIndex:
    """The parked events of one source partition, by their offsets there; their bodies stay in the log.

    One thread changes it and knows what it has changed; another may ask for
    `places` meanwhile.
    """

    def __init__(self, lanes: Mapping[str, Mapping[int, Place]] | None = None) -> None:
        """Begin with what was found in the log."""
        self._changing = threading.Lock()
        self._lanes: defaultdict[str, set[int]] = defaultdict(set)
        self._places: dict[int, Place] = {}
        for lane, places in (lanes or {}).items():
            self._lanes[lane].update(places)
            self._places.update(places)

    def place(self, offset: int) -> Place | None:
        """Return where an event lies, `None` if it is not parked."""
        return self._places.get(offset)

    def places(self, offsets: Iterable[int]) -> dict[int, Place]:
        """Return where those of `offsets` lie that are parked, in their order."""
        with self._changing:
            return {offset: self._places[offset] for offset in offsets if offset in self._places}

    def offsets(self, lane: str) -> frozenset[int]:
        """Return what is parked of a lane."""
        return frozenset(self._lanes.get(lane, ()))

    def change(self, change: LaneChange, places: Mapping[int, Place]) -> None:
        """Note that `change` is in the log, where what joined lies at `places`."""
        joined = {entry.offset: places[entry.offset] for entry in staying(change)}
        with self._changing:
            for offset in self._gone(change):
                self._places.pop(offset, None)
                self._lanes[change.lane].discard(offset)
            if change.setback is None:
                self._lanes.pop(change.lane, None)
            else:
                self._lanes[change.lane].update(joined)
                self._places.update(joined)

    def _gone(self, change: LaneChange) -> Sequence[int]:
        return [*self._lanes[change.lane]] if change.setback is None else change.left


def staying(change: LaneChange) -> list[Entry]:
    """Return what is parked by `change` and not let go of by the same."""
    left = set(change.left)
    return [] if change.setback is None else [each for each in change.joined if each.offset not in left]
