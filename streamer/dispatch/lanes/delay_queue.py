"""Delay queue of the lanes that wait for their next attempt."""

import asyncio
import heapq
from itertools import count

from streamer.clock import Clock
from streamer.dispatch.lanes.lanes import Lane, LaneState
from streamer.events import Partition

_LEAST_S = 0.001


class DelayQueue:
    """Queue that returns each lane when the lane is due; its cost grows slowly with the number of lanes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, Lane]] = []
        self._numbers = count()
        self._due_at: dict[Lane, float] = {}
        # Lanes that are not parked. They have their own collection, so that listing them needs
        # no search through the parked lanes, which can be very many.
        self._unparked: dict[Lane, None] = {}
        self._sooner = asyncio.Event()

    def __contains__(self, lane: Lane) -> bool:
        return lane in self._due_at

    @property
    def unparked(self) -> list[Lane]:
        """Waiting lanes that are not parked."""
        return list(self._unparked)

    @property
    def next_s(self) -> float | None:
        """Seconds until the next lane is due; `None` if no lane waits."""
        self._drop_outdated()
        return max(0.0, self._heap[0][0] - self._clock.monotonic()) if self._heap else None

    def left_s(self, lane: Lane) -> float:
        """Return the seconds until `lane` is due."""
        return max(0.0, self._due_at[lane] - self._clock.monotonic())

    def put(self, lane: Lane, delay_s: float) -> None:
        """Let `lane` wait for `delay_s` seconds from now, instead of its earlier due time."""
        due_at = self._clock.monotonic() + delay_s
        self._due_at[lane] = due_at
        if lane.is_parked:
            self._unparked.pop(lane, None)
        else:
            self._unparked[lane] = None
        heapq.heappush(self._heap, (due_at, next(self._numbers), lane))
        self._sooner.set()

    def drop(self, partitions: frozenset[Partition]) -> None:
        """Forget the lanes of `partitions`."""
        for lane in [lane for lane in self._due_at if lane.partition in partitions]:
            self._forget(lane)
        self._heap = [each for each in self._heap if each[2] in self._due_at]
        heapq.heapify(self._heap)

    async def due(self) -> Lane:
        """Wait until a lane is due, remove it from the queue, and return it."""
        while True:
            self._drop_outdated()
            if self._heap:
                due_at, _, lane = self._heap[0]
                left_s = due_at - self._clock.monotonic()
                if left_s <= 0:
                    heapq.heappop(self._heap)
                    self._forget(lane)
                    return lane
            else:
                left_s = None
            await self._until_sooner(left_s)

    def _drop_outdated(self) -> None:
        """Remove entries from the top of the heap whose lane was lost or has another due time."""
        while self._heap:
            due_at, _, lane = self._heap[0]
            if self._due_at.get(lane) == due_at and lane.state is LaneState.OPEN:
                return
            heapq.heappop(self._heap)

    def _forget(self, lane: Lane) -> None:
        del self._due_at[lane]
        self._unparked.pop(lane, None)

    async def _until_sooner(self, timeout_s: float | None) -> None:
        self._sooner.clear()
        if timeout_s is None:
            await self._sooner.wait()
            return
        try:
            # The remaining time can be shorter than the resolution of a clock, so the wait has a
            # minimum.
            async with self._clock.timeout(max(_LEAST_S, timeout_s)):
                await self._sooner.wait()
        except TimeoutError:
            return
