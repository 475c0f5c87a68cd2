"""What was read of one partition and lies ready for its reader."""

from collections import deque
from dataclasses import dataclass, field

from streamer.events import DeadLetter, Entry


@dataclass(slots=True, kw_only=True)
class ReadRange:
    """What was read of one partition under one assignment: entries, and how far reading has come.

    `end` is where the partition is known to end. `unreadable` are the records
    that hold no event, as dead letters, by their offsets.
    """

    assignment: int
    through: int
    end: int = 0
    entries: list[Entry] = field(default_factory=list)
    unreadable: dict[int, DeadLetter] = field(default_factory=dict)


class PartitionBuffer:
    """Entries in their order; `through` is how far reading has come, and `told` what the reader knows of it.

    `size` is that of the entries, in bytes, and `end` where the partition is
    known to end. `unreadable` waits for whoever records progress.
    """

    def __init__(self, begin: int, assignment: int) -> None:
        """Begin empty, at the offset `begin`, for what is read under `assignment`."""
        self.assignment = assignment
        self.through = self.told = self.end = begin
        self.entries: deque[Entry] = deque()
        self.unreadable: dict[int, DeadLetter] = {}
        self.size = 0

    def put(self, read_range: ReadRange) -> None:
        """Lay `read_range` behind what is there."""
        self.through = max(self.through, read_range.through)
        self.end = max(self.end, read_range.end, self.through)
        self.entries += read_range.entries
        self.unreadable |= read_range.unreadable
        self.size += sum(entry.size for entry in read_range.entries)

    def take(self, room: int) -> list[Entry]:
        """Return the first entries, at most so many as there is `room` for."""
        taken: list[Entry] = []
        while self.entries and len(taken) < room:
            entry = self.entries.popleft()
            taken.append(entry)
            self.size -= entry.size
        self.told = self.entries[0].offset if self.entries else self.through
        return taken
