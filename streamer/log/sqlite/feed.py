"""Feed of one subscriber from a log file."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from streamer.errors import Fenced
from streamer.events import Entry, ParkedLane, Partition, SubscriberName
from streamer.log.sqlite.rows.pages import PARTITION, OffsetRange
from streamer.log.sqlite.rows.subscribers import StoredPosition, window_of
from streamer.log.sqlite.settler import SqliteSettler
from streamer.ports import Assigned, Page, Recorded, Revoked, Settlement, Subscription

_ASSIGNMENT = 1


class EntryReader(Protocol):
    """The part of the log that a feed reads."""

    def end(self) -> int:
        """Return the offset of the next event to be appended; raises `LogUnavailable` when closed."""
        ...

    async def read(self, window: OffsetRange) -> tuple[list[Entry], int]:
        """Return the first entries of `window`, and the offset up to which it was read."""
        ...

    async def lanes(self, subscriber: SubscriberName) -> Sequence[ParkedLane]:
        """Return the parked lanes of a subscriber."""
        ...

    async def recall(self, subscriber: SubscriberName, offsets: Sequence[int]) -> Sequence[Entry]:
        """Return a subscriber's parked events at `offsets`, in that order."""
        ...


class SqliteFeed:
    """A subscriber's feed: the file is one partition, assigned once."""

    def __init__(
        self, log: EntryReader, subscription: Subscription, place: StoredPosition, settler: SqliteSettler
    ) -> None:
        self.subscription = subscription
        self._log = log
        self._settler = settler
        self._place = place
        self._cursor = place.progress.next_offset
        self._assigned = False
        self._paused = False
        self._closed = False
        self._woken = asyncio.Event()

    async def read(self) -> Assigned | Revoked | Page:
        """Return the next page, waiting for one; the first answer is the assignment."""
        if not self._assigned:
            lanes = await self._log.lanes(self.subscription.subscriber)
            self._assigned = True
            return Assigned(
                assignment=_ASSIGNMENT,
                progress={PARTITION: self._place.progress},
                parked={PARTITION: lanes},
            )
        while self._paused or self._cursor >= self._log.end():
            self._woken.clear()
            await self._woken.wait()
        return await self._next_page()

    def pause(self, partitions: frozenset[Partition]) -> None:
        """Read nothing until resumed."""
        self._paused = self._paused or PARTITION in partitions

    def resume(self, partitions: frozenset[Partition]) -> None:
        """Undo `pause`."""
        self._paused = self._paused and PARTITION not in partitions
        self.wake()

    async def settle(self, settlement: Settlement, /) -> Recorded:
        """Record all of it in one transaction; raises `LogUnavailable` once closed, and `Fenced`.

        It waits while the disk is full, and always knows whether it was
        recorded. A text column takes any number of offsets: no partition is
        ever crowded.
        """
        if self._closed or settlement.assignment != _ASSIGNMENT:
            if not settlement.is_plain:
                raise Fenced(f"{self.subscription.subscriber} settled partitions that it no longer holds")
            return Recorded()
        await self._settler.settle(settlement)
        return Recorded(partitions=frozenset(settlement.progress))

    async def recall(self, partition: Partition, offsets: Sequence[int]) -> Sequence[Entry]:
        """Return parked events in the order of `offsets`; raises `LogUnavailable`."""
        if self._closed or partition != PARTITION:
            return []
        return await self._log.recall(self.subscription.subscriber, offsets)

    def wake(self) -> None:
        """Let a waiting `read` check the log again."""
        self._woken.set()

    def close(self) -> None:
        """Close the feed: nothing can be settled through it any more."""
        self._closed = True
        self._settler.close()

    async def _next_page(self) -> Page:
        window = window_of(self.subscription, begin=self._cursor, end=self._log.end())
        entries, through = await self._log.read(window)
        # Only now: a read that failed or was cancelled must be repeated.
        self._cursor = through
        return Page(
            entries=[entry for entry in entries if self._is_wanted(entry)],
            through={PARTITION: through},
            behind=self._log.end() - through,
        )

    def _is_wanted(self, entry: Entry) -> bool:
        return (
            entry.offset not in self._place.progress.settled_above
            and entry.event.time >= self._place.not_before
        )
