"""One subscriber's place in a log file."""

import asyncio
from typing import Protocol

from streamer.errors import Fenced
from streamer.events import Entry, Partition
from streamer.log.sqlite.pages import PARTITION, Window
from streamer.log.sqlite.subscribers import Place
from streamer.ports import Assigned, Page, Recorded, Revoked, Settlement, Subscription

_ASSIGNMENT = 1


class Pages(Protocol):
    """What a feed needs of its log."""

    def end(self) -> int:
        """Return the offset of the next event to be appended; raises `LogUnavailable` when closed."""
        ...

    async def read(self, window: Window) -> tuple[list[Entry], int]:
        """Return the first entries of `window`, and the offset up to which it was read."""
        ...

    async def settle(self, subscription: Subscription, settlement: Settlement) -> None:
        """Make a settlement durable."""
        ...


class SqliteFeed:
    """A subscriber's feed: the file is one partition, assigned once."""

    def __init__(self, log: Pages, subscription: Subscription, place: Place) -> None:
        """Go on at `place`."""
        self.subscription = subscription
        self._log = log
        self._place = place
        self._cursor = place.progress.next_offset
        self._assigned = False
        self._paused = False
        self._closed = False
        self._woken = asyncio.Event()

    async def read(self) -> Assigned | Revoked | Page:
        """Wait for the next page; the first answer is the assignment."""
        if not self._assigned:
            self._assigned = True
            return Assigned(assignment=_ASSIGNMENT, progress={PARTITION: self._place.progress})
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
        """Record progress and dead letters in one transaction; raises `LogUnavailable`, `Fenced`.

        A column of text takes any number of offsets: nothing is ever crowded.
        """
        if self._closed or settlement.assignment != _ASSIGNMENT:
            if settlement.set_aside:
                raise Fenced(f"{self.subscription.subscriber} settled what it no longer holds")
            return Recorded()
        await self._log.settle(self.subscription, settlement)
        return Recorded(partitions=frozenset(settlement.progress))

    def wake(self) -> None:
        """Let a waiting `read` look again."""
        self._woken.set()

    def close(self) -> None:
        """Hand the place over: nothing can be settled here any more."""
        self._closed = True

    async def _next_page(self) -> Page:
        window = Window(begin=self._cursor, end=self._log.end(), patterns=self.subscription.patterns)
        entries, through = await self._log.read(window)
        # Only now, for a read that failed or was cancelled is asked for again.
        self._cursor = through
        return Page(
            entries=[entry for entry in entries if self._concerns(entry)],
            through={PARTITION: through},
            behind=self._log.end() - through,
        )

    def _concerns(self, entry: Entry) -> bool:
        return (
            entry.offset not in self._place.progress.settled_above
            and entry.event.time >= self._place.not_before
        )
