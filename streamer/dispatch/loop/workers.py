"""Attempts at the heads of lanes, as many at once as the target can take."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from streamer.blocking import SUBSCRIBER
from streamer.dispatch.admission.admission import Admission, Ticket
from streamer.dispatch.commands import REQUEUE
from streamer.dispatch.delivery.attempts import cancellations, undo_cancellations
from streamer.dispatch.lanes.lane import Lane, LaneState
from streamer.dispatch.loop.head import HeadDelivery
from streamer.dispatch.settling.settling import Settling
from streamer.dispatch.state import DispatchState
from streamer.ports import Feed

ATTEMPT_TASK = "attempt "
"""Beginning of the names of tasks that make attempts; the subscriber's name follows."""


@dataclass(slots=True, kw_only=True)
class Workers:
    """Tasks that try one lane after the other, each lane at most once at a time.

    While `is_choosing`, one lane waits for permission, and the others are not
    asked. Any cancellation of an attempt before `ending` is set is the plugin's
    own. `on_idle` is called when a worker finds no other lane.
    """

    state: DispatchState
    admission: Admission
    head: HeadDelivery
    settling: Settling
    ending: asyncio.Event
    on_idle: Callable[[], None]
    is_choosing: bool = field(default=False, init=False)
    _freed: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    async def run(self, group: asyncio.TaskGroup, feed: Feed) -> None:
        """Start a worker in `group` for each attempt that the target can take beside those in flight."""
        name = f"{ATTEMPT_TASK}{self.state.name}"
        SUBSCRIBER.set(self.state.name)
        while True:
            await self.state.ledger.room()
            await self._worker_needed()
            # A head that failed before can be broken itself, so it says less about the target.
            lane = await self.state.lanes.take(untried_first=self.admission.probes)
            self.is_choosing = True
            cleared = await self._is_cleared(lane)
            self.is_choosing = False
            if lane.state is not LaneState.OPEN:
                if cleared:
                    self.admission.not_sent()
            elif cleared:
                group.create_task(self._work(lane, self._begin(lane), feed), name=name)
            else:
                self.state.lanes.make_ready(lane)

    async def _worker_needed(self) -> None:
        while not self.admission.concurrency.has_room:
            self._freed.clear()
            await self._freed.wait()

    async def _work(self, lane: Lane | None, ticket: Ticket, feed: Feed) -> None:
        """Try one lane after the other, until the next one would have to wait."""
        try:
            while lane is not None:
                await self._attempt(lane, ticket, feed)
                lane = self._next_at_once()
                if lane is not None:
                    ticket = self._begin(lane)
                if self.admission.concurrency.has_room:
                    self._freed.set()
            self.on_idle()
        except Exception:
            self.ending.set()
            raise

    def _next_at_once(self) -> Lane | None:
        """Return a lane that can be tried now, unless another lane waits for its turn."""
        state = self.state
        if state.is_closed or self.is_choosing or state.ledger.is_full:
            return None
        if not self.admission.is_clear() or not state.standstill.is_over():
            return None
        return state.lanes.take_at_once()

    def _begin(self, lane: Lane) -> Ticket:
        self.state.in_flight.begin(lane)
        return self.admission.begin(lane.full_name)

    async def _attempt(self, lane: Lane, ticket: Ticket, feed: Feed) -> None:
        before = cancellations()
        try:
            ending = await self.head.ending(lane, feed)
            self.settling.ended(lane, ticket, ending)
        except asyncio.CancelledError:
            if self.ending.is_set():
                raise
            # A plugin cancelled an attempt that it was not called for.
            undo_cancellations(before)
            self.settling.ended(lane, ticket, REQUEUE)
        finally:
            self.state.in_flight.end(lane)
        self.settling.landed(lane)

    async def _is_cleared(self, lane: Lane) -> bool:
        """Wait until an attempt can begin; true allows it now, but not later."""
        while await self.admission.permitted(lane.full_name):
            if not await self.state.standstill.over():
                return True
            self.admission.not_sent()
        return False
