"""Tracker of the settled offsets of a partition, and of their contiguous prefix."""

from collections import deque

from streamer.events import SettledOffsets


class OffsetTracker:
    """Tracks the offsets of one partition through delivery.

    The committed prefix never passes an open offset. Settled offsets above it
    are kept as well, so that a crash repeats only open ones.
    """

    def __init__(self, progress: SettledOffsets) -> None:
        """Continue from `progress`."""
        self._through = progress.next_offset
        self._open: deque[int] = deque()
        self._settled = set(progress.settled_above)
        self._progress: SettledOffsets | None = progress

    @property
    def settled_above(self) -> int:
        """Number of offsets that are settled behind an open one."""
        return len(self._settled)

    def opened(self, offset: int) -> None:
        """Note that `offset` was read and awaits delivery; offsets come in rising order."""
        self._open.append(offset)
        self._moved_to(offset + 1)

    def passed(self, through: int) -> None:
        """Note that all offsets below `through` were read; those not opened need no delivery."""
        self._moved_to(through)

    def settled(self, offset: int) -> None:
        """Note that `offset` needs no more deliveries."""
        self._settled.add(offset)
        self._progress = None

    def progress(self) -> SettledOffsets:
        """Return the contiguous prefix and the settled offsets above it."""
        if self._progress is None:
            self._progress = self._computed()
        return self._progress

    def _moved_to(self, through: int) -> None:
        self._through = max(self._through, through)
        self._progress = None

    def _computed(self) -> SettledOffsets:
        while self._open and self._open[0] in self._settled:
            self._settled.remove(self._open.popleft())
        prefix = self._open[0] if self._open else self._through
        # A former process can have settled offsets that this one never opened.
        self._settled = {offset for offset in self._settled if offset >= prefix}
        return SettledOffsets(next_offset=prefix, settled_above=frozenset(self._settled))
