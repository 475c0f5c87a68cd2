"""Whether the partitions that we hold are still ours."""

import asyncio
from collections.abc import Collection

from streamer.events import Partition


class OwnershipCheck:
    """Lasts from a standstill until the log has taken a record of every partition again.

    Only a record that began after the standstill proves anything, and only for
    the assignment that it was made under. What is assigned while a doubt lasts
    is part of it, for the assignment may be older than the standstill; one
    that finds us without partitions waits for the first.
    """

    def __init__(self) -> None:
        """Begin without a doubt."""
        self._partitions: set[Partition] = set()
        self._unproven = False
        self._over = asyncio.Event()
        self._over.set()
        self.number = 0

    @property
    def lasts(self) -> bool:
        """Whether nothing may be delivered."""
        return not self._over.is_set()

    def covers(self, partition: Partition) -> bool:
        """Whether `partition` is yet to be proven ours."""
        return partition in self._partitions

    def begin(self, partitions: Collection[Partition]) -> None:
        """Doubt that `partitions` are ours; what is being recorded proves nothing any more."""
        self._partitions.update(partitions)
        self._unproven = True
        self._over.clear()
        self.number += 1

    def assigned(self, partitions: Collection[Partition]) -> None:
        """Take partitions in that were assigned to us."""
        if self.lasts:
            self._partitions.update(partitions)

    def revoked(self, partitions: Collection[Partition]) -> None:
        """Let partitions go that are not ours, without any doubt."""
        self._partitions.difference_update(partitions)
        self._end()

    def recorded(self, partition: Partition, *, number: int) -> None:
        """Note that a record of `partition` succeeded, which began when `number` was the present doubt."""
        if number == self.number and self.covers(partition):
            self._partitions.discard(partition)
            self._unproven = False
            self._end()

    async def over(self) -> None:
        """Wait until everything that we hold is ours."""
        await self._over.wait()

    def _end(self) -> None:
        if not self._unproven and not self._partitions:
            self._over.set()
