"""Partitions of the in-memory log."""

import asyncio
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from streamer.events import Entry, Event, Partition
from streamer.log.records import encode_event


@dataclass(slots=True, kw_only=True)
class MemoryPartitions:
    """Entries of each partition; `entries` has all appended events in the order of their append.

    Forwarded events also have partitions, but are not in `entries`.
    """

    entries: list[Entry] = field(default_factory=list)
    _kept: dict[Partition, list[Entry]] = field(default_factory=dict, init=False)
    _grown: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def __contains__(self, partition: Partition) -> bool:
        return partition in self._kept

    def __iter__(self) -> Iterator[Partition]:
        return iter(self._kept)

    def items(self) -> Collection[tuple[Partition, Sequence[Entry]]]:
        """Return each partition with its entries."""
        return self._kept.items()

    def of(self, partition: Partition) -> Sequence[Entry]:
        """Return the entries of a partition; the offset of an entry is its index."""
        return self._kept.get(partition, ())

    def appear(self, partition: Partition) -> None:
        """Add an empty partition."""
        self._kept[partition] = []

    def store(self, event: Event, partition: Partition) -> Entry:
        """Add `event` to a partition, and return its entry."""
        kept = self._kept[partition]
        entry = Entry(partition=partition, offset=len(kept), event=event, size=len(encode_event(event)))
        kept.append(entry)
        return entry

    def grow(self) -> None:
        """Wake the tasks that wait in `grown`."""
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()

    async def grown(self, beyond: int) -> None:
        """Return as soon as `entries` has more than `beyond` entries."""
        while len(self.entries) <= beyond:
            await self._grown.wait()
