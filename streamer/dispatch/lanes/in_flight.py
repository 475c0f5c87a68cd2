"""Attempts in flight."""

import asyncio
from collections.abc import Collection

from streamer.dispatch.lanes.lane import Lane
from streamer.events import Partition


class InFlight:
    """The lanes that are being tried, each at most once; its length counts them."""

    def __init__(self) -> None:
        self._lanes: set[Lane] = set()
        self._landed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._lanes)

    def __contains__(self, lane: Lane) -> bool:
        return lane in self._lanes

    def begin(self, lane: Lane) -> None:
        """Note that an attempt at `lane` begins."""
        self._lanes.add(lane)

    def end(self, lane: Lane) -> None:
        """Note that the attempt at `lane` has ended."""
        self._lanes.discard(lane)
        self._landed.set()

    def of(self, partitions: frozenset[Partition]) -> list[Lane]:
        """Return the lanes of `partitions` that are being tried."""
        return [lane for lane in self._lanes if lane.partition in partitions]

    async def landed(self, lanes: Collection[Lane] | None = None) -> None:
        """Wait until all attempts at `lanes` have ended; by default, at the lanes now in flight."""
        awaited = set(self._lanes if lanes is None else lanes)
        while awaited & self._lanes:
            self._landed.clear()
            await self._landed.wait()
