"""The partitions that the group has assigned to this process."""

import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from streamer.events import DeadLetter, Partition, Progress
from streamer.log.kafka.parked.index import ParkedIndex
from streamer.log.kafka.records.chunks import ChunkOffsets


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


class AssignedPartitions(Mapping[Partition, AssignedPartition]):
    """The partitions that are ours now.

    One thread changes and reads them; another may ask for `parked` meanwhile.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._changing = threading.Lock()
        self._partitions: dict[Partition, AssignedPartition] = {}

    def __getitem__(self, partition: Partition) -> AssignedPartition:
        """Return what we know of a partition that is ours."""
        return self._partitions[partition]

    def __iter__(self) -> Iterator[Partition]:
        """Go through what is ours."""
        return iter(self._partitions)

    def __len__(self) -> int:
        """Count what is ours."""
        return len(self._partitions)

    def add(self, assigned_partition: AssignedPartition) -> None:
        """Take a partition over; do so before anyone is told that it is ours."""
        with self._changing:
            self._partitions[assigned_partition.partition] = assigned_partition

    def drop(self, partitions: Iterable[Partition]) -> None:
        """Give partitions up, as far as they are ours."""
        with self._changing:
            for partition in partitions:
                self._partitions.pop(partition, None)

    def parked(self, partition: Partition, offsets: Iterable[int]) -> dict[int, ChunkOffsets]:
        """Return where those of `offsets` lie that are parked, in their order; none of what is not ours."""
        with self._changing:
            ours = self._partitions.get(partition)
        return {} if ours is None else ours.parked.locations(offsets)
