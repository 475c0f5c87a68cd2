"""Partitions of the in-memory log."""

import asyncio
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from streamer.events import Entry, Event, Partition
from streamer.log.records import encode_event


@dataclass(slots=True, kw_only=True)
class MemoryPartitions:
    """Entries of each partition, and in `entries` all that were appended, in order.

    Forwarded events have partitions too, and are not among `entries`.
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
        """Return the entries of a partition, so that an offset is an index."""
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
        """Wake those that wait for more entries."""
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()

    async def grown(self, beyond: int) -> None:
        """Return once there are more than so many entries."""
        while len(self.entries) <= beyond:
            await self._grown.wait()
