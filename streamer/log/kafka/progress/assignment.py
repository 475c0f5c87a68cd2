"""Partitions that are assigned to this process, and the generation of the group that assigned them."""

import sys
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from streamer.events import DeadLetter, Partition, SettledOffsets
from streamer.log.kafka.parked.index import ParkedIndex
from streamer.log.kafka.records.events import ChunkOffsets

# librdkafka's own form of a group's metadata: this, the generation as an integer
# of the machine, and the names of the group and the member, each with a zero after it.
_METADATA = b"CGMDv2:"
_GENERATION_BYTES = 4


def is_of_member(generation: bytes) -> bool:
    """Return whether `generation`, a result of `consumer_group_metadata`, names a generation and a member.

    A client that the group has just lost returns metadata without one of them.
    The broker can take the offsets of a transaction with such metadata from
    anybody.
    """
    if not generation.startswith(_METADATA):
        # Of another librdkafka, which a test of ours refuses: only the broker can judge it.
        return True
    content = generation.removeprefix(_METADATA)
    number, names = content[:_GENERATION_BYTES], content[_GENERATION_BYTES:]
    member = names.partition(b"\0")[2].partition(b"\0")[0]
    return int.from_bytes(number, sys.byteorder, signed=True) >= 0 and member != b""


@dataclass(slots=True, kw_only=True)
class AssignedPartition:
    """State of one partition under one assignment.

    `assignment` numbers the assignments of this process and subscriber: a
    partition that was lost and assigned again has a new number. `settled_above`
    was settled before and is left out of pages. `unreadable` are the records
    without an event, as dead letters that go into the log with the next
    settlement of the partition; `set_aside` are the offsets of those already in
    the log. `parked` indexes its parked events.
    """

    partition: Partition
    assignment: int
    settled_above: frozenset[int]
    parked: ParkedIndex = field(default_factory=ParkedIndex)
    unreadable: dict[int, DeadLetter] = field(default_factory=dict)
    set_aside: frozenset[int] = frozenset()

    def with_unreadable(self, progress: SettledOffsets) -> SettledOffsets:
        """Return `progress` with the records without an event counted as settled."""
        return SettledOffsets(
            next_offset=progress.next_offset,
            settled_above=progress.settled_above.union(self.set_aside, self.unreadable),
        )

    def settled(self, progress: SettledOffsets, letters: Collection[int]) -> None:
        """Note that the log has `progress` and the dead letters of the offsets `letters`."""
        gone = self.set_aside.union(letters)
        self.set_aside = frozenset(offset for offset in gone if offset >= progress.next_offset)
        for offset in letters:
            self.unreadable.pop(offset, None)


class AssignedPartitions(Mapping[Partition, AssignedPartition]):
    """Mapping of the partitions that are assigned to this process.

    One thread changes and reads it; another can call `parked` meanwhile.
    `known_topics` are the topics of every partition since the beginning.
    """

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._partitions: dict[Partition, AssignedPartition] = {}
        self.known_topics: set[str] = set()

    def __getitem__(self, partition: Partition) -> AssignedPartition:
        return self._partitions[partition]

    def __iter__(self) -> Iterator[Partition]:
        return iter(self._partitions)

    def __len__(self) -> int:
        return len(self._partitions)

    def add(self, assigned_partition: AssignedPartition) -> None:
        """Add a partition; do so before it is announced to the loop."""
        with self._changing:
            self._partitions[assigned_partition.partition] = assigned_partition
        self.known_topics.add(assigned_partition.partition.topic)

    def drop(self, partitions: Iterable[Partition]) -> None:
        """Remove those of `partitions` that are assigned."""
        with self._changing:
            for partition in partitions:
                self._partitions.pop(partition, None)

    def parked(self, partition: Partition, offsets: Iterable[int]) -> dict[int, ChunkOffsets]:
        """Return the locations of the parked events among `offsets`, in order; none without assignment."""
        with self._changing:
            ours = self._partitions.get(partition)
        return {} if ours is None else ours.parked.locations(offsets)
