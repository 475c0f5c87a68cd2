"""Partitions that are assigned to this process, and the generation of the group that assigned them."""

import sys
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from streamer.events import DeadLetter, Partition, SettledOffsets
from streamer.log.kafka.parked_index import ParkedIndex
from streamer.log.kafka.records.events import ChunkOffsets

# librdkafka's own format of a group's metadata: this prefix, the generation as a native
# integer, and the names of the group and the member, each followed by a zero byte.
_METADATA = b"CGMDv2:"
_GENERATION_BYTES = 4


def is_of_member(generation: bytes) -> bool:
    """Return whether `generation`, a result of `consumer_group_metadata`, names a generation and a member.

    A client that the group has just dropped returns metadata without the generation or
    without the member. With such metadata, the broker can accept the offsets of a
    transaction without checking the member.
    """
    if not generation.startswith(_METADATA):
        # Another version of librdkafka wrote this format, and a test of Streamer fails for it.
        # Only the broker can check it.
        return True
    content = generation.removeprefix(_METADATA)
    number, names = content[:_GENERATION_BYTES], content[_GENERATION_BYTES:]
    member = names.partition(b"\0")[2].partition(b"\0")[0]
    return int.from_bytes(number, sys.byteorder, signed=True) >= 0 and member != b""


@dataclass(slots=True, kw_only=True)
class AssignedPartition:
    """State of one partition under one assignment.

    `assignment` is the number of the assignment in this process: a partition that was
    lost and assigned again has a new number. The offsets in `settled_above` were
    settled before, and pages do not contain these offsets. `unreadable` contains the
    dead letters of unreadable records by offset; the next settlement of the partition
    writes these dead letters to the log. `set_aside` has the offsets of unreadable
    records whose dead letters are in the log already. `parked` is the index of the
    parked events.
    """

    partition: Partition
    assignment: int
    settled_above: frozenset[int]
    parked: ParkedIndex = field(default_factory=ParkedIndex)
    unreadable: dict[int, DeadLetter] = field(default_factory=dict)
    set_aside: frozenset[int] = frozenset()

    def with_unreadable(self, progress: SettledOffsets) -> SettledOffsets:
        """Return `progress` with unreadable records counted as settled."""
        return SettledOffsets(
            next_offset=progress.next_offset,
            settled_above=progress.settled_above.union(self.set_aside, self.unreadable),
        )

    def settled(self, progress: SettledOffsets, letters: Collection[int]) -> None:
        """Note that the log has `progress`, and the dead letters of the records at the offsets `letters`."""
        gone = self.set_aside.union(letters)
        self.set_aside = frozenset(offset for offset in gone if offset >= progress.next_offset)
        for offset in letters:
            self.unreadable.pop(offset, None)


class AssignedPartitions(Mapping[Partition, AssignedPartition]):
    """Mapping of the partitions that are assigned to this process.

    One thread changes and reads the mapping; another thread can call `parked` at
    the same time. `known_topics` has the topic of every partition that was ever
    assigned.
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
        """Add a partition; call this before the partition is announced to the loop."""
        with self._changing:
            self._partitions[assigned_partition.partition] = assigned_partition
        self.known_topics.add(assigned_partition.partition.topic)

    def drop(self, partitions: Iterable[Partition]) -> None:
        """Remove `partitions`; partitions that are not assigned are ignored."""
        with self._changing:
            for partition in partitions:
                self._partitions.pop(partition, None)

    def parked(self, partition: Partition, offsets: Iterable[int]) -> dict[int, ChunkOffsets]:
        """Return the chunk offsets of the parked events among `offsets`, in order; empty if not assigned."""
        with self._changing:
            ours = self._partitions.get(partition)
        return {} if ours is None else ours.parked.locations(offsets)
