"""Check that this process still owns the partitions that it holds."""

import asyncio
from collections.abc import Collection

from streamer.events import Partition


class OwnershipCheck:
    """Doubt about the ownership, from a standstill until the log has taken a record of every partition.

    Only a record that began after the standstill proves anything, and only for
    its own assignment. A partition that is assigned while a doubt lasts is
    doubted too, because its assignment can be older than the standstill. A
    doubt that begins without partitions waits for the first one.
    """

    def __init__(self) -> None:
        self._partitions: set[Partition] = set()
        self._unproven = False
        self._over = asyncio.Event()
        self._over.set()
        self.number = 0

    @property
    def lasts(self) -> bool:
        """True while no event may be delivered."""
        return not self._over.is_set()

    def covers(self, partition: Partition) -> bool:
        """Return true while the ownership of `partition` is unproven."""
        return partition in self._partitions

    def begin(self, partitions: Collection[Partition]) -> None:
        """Doubt the ownership of `partitions`; records already under way no longer prove it."""
        self._partitions.update(partitions)
        self._unproven = True
        self._over.clear()
        self.number += 1

    def assigned(self, partitions: Collection[Partition]) -> None:
        """Include partitions that were assigned to us."""
        if self.lasts:
            self._partitions.update(partitions)

    def revoked(self, partitions: Collection[Partition]) -> None:
        """Exclude partitions that are certainly not ours."""
        self._partitions.difference_update(partitions)
        self._end()

    def recorded(self, partition: Partition, *, number: int) -> None:
        """Note that a record of `partition` succeeded, which began when `number` was the current doubt."""
        if number == self.number and self.covers(partition):
            self._partitions.discard(partition)
            self._unproven = False
            self._end()

    async def over(self) -> None:
        """Wait until the ownership of all partitions is proven."""
        await self._over.wait()

    def _end(self) -> None:
        if not self._unproven and not self._partitions:
            self._over.set()
