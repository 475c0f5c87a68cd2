"""One assigned partition."""

from collections.abc import Collection
from dataclasses import dataclass, field

from streamer.events import DeadLetter, Partition, Progress
from streamer.log.kafka.parked.index import ParkedIndex


@dataclass(slots=True, kw_only=True)
class AssignedPartition:
    """What we know of one partition under one assignment.

    `assignment` numbers the assignments of this process and subscriber: a
    partition that was lost and given back has another one. `settled_above` was
    settled before and is left out of pages. `unreadable` are the records that
    hold no event, as dead letters that go into the log with the next
    settlement of the partition; `set_aside` are the offsets of those that have
    gone. `parked` is where its parked events lie.
    """

    partition: Partition
    assignment: int
    settled_above: frozenset[int]
    parked: ParkedIndex = field(default_factory=ParkedIndex)
    unreadable: dict[int, DeadLetter] = field(default_factory=dict)
    set_aside: frozenset[int] = frozenset()

    def with_unreadable(self, progress: Progress) -> Progress:
        """Return `progress` with what the reader never saw counted as settled."""
        return Progress(
            next_offset=progress.next_offset,
            settled_above=progress.settled_above.union(self.set_aside, self.unreadable),
        )

    def settled(self, progress: Progress, letters: Collection[int]) -> None:
        """Note that `progress` is in the log, and the dead letters of the offsets `letters` with it."""
        gone = self.set_aside.union(letters)
        self.set_aside = frozenset(offset for offset in gone if offset >= progress.next_offset)
        for offset in letters:
            self.unreadable.pop(offset, None)
