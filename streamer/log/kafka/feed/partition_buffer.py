"""Buffer of the entries read of one partition."""

from collections import deque
from dataclasses import dataclass, field

from streamer.events import DeadLetter, Entry


@dataclass(slots=True, kw_only=True)
class ReadRange:
    """Result of reading one partition under one assignment: entries, and the offset read so far.

    `end` is the known end of the partition. `unreadable` are the records
    without an event, as dead letters by offset.
    """

    assignment: int
    through: int
    end: int = 0
    entries: list[Entry] = field(default_factory=list)
    unreadable: dict[int, DeadLetter] = field(default_factory=dict)


class PartitionBuffer:
    """Entries in order; `through` is the offset read so far, and `reported` the one that the loop knows of.

    `size` is the entries' size in bytes, and `end` the known end of the partition.
    `unreadable` waits until progress is recorded.
    """

    def __init__(self, begin: int, assignment: int) -> None:
        """Begin empty, at the offset `begin`, for records read under `assignment`."""
        self.assignment = assignment
        self.through = self.reported = self.end = begin
        self.entries: deque[Entry] = deque()
        self.unreadable: dict[int, DeadLetter] = {}
        self.size = 0

    def put(self, read_range: ReadRange) -> None:
        """Append `read_range`."""
        self.through = max(self.through, read_range.through)
        self.end = max(self.end, read_range.end, self.through)
        self.entries += read_range.entries
        self.unreadable |= read_range.unreadable
        self.size += sum(entry.size for entry in read_range.entries)

    def take(self, room: int) -> list[Entry]:
        """Return the first entries, at most as many as there is `room` for."""
        taken: list[Entry] = []
        while self.entries and len(taken) < room:
            entry = self.entries.popleft()
            taken.append(entry)
            self.size -= entry.size
        self.reported = self.entries[0].offset if self.entries else self.through
        return taken
