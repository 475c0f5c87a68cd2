"""Attempts at the heads of lanes, as many at once as the target can take."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

import structlog

from streamer.blocking import SUBSCRIBER
from streamer.clock import Clock
from streamer.dispatch.admission.admission import Admission, Ticket
from streamer.dispatch.chains.joining import Halves, Joining
from streamer.dispatch.delivery.attempts import Attempts, Tried, cancellations, undo_cancellations
from streamer.dispatch.lanes.delay_queue import DelayQueue
from streamer.dispatch.lanes.in_flight import InFlight
from streamer.dispatch.lanes.lane import Lane, LaneState
from streamer.dispatch.lanes.lanes import Lanes
from streamer.dispatch.loop.batches import Batches
from streamer.dispatch.loop.intake import Intake
from streamer.dispatch.progress.ledger import Ledger
from streamer.dispatch.progress.standstill import Standstill
from streamer.dispatch.redrive.redelivery import Redelivery
from streamer.dispatch.settling.outcomes import OutcomeHandler
from streamer.errors import LogUnavailable
from streamer.events import Entry, SubscriberName
from streamer.ports import Feed

_log = structlog.get_logger()

ATTEMPT_TASK = "attempt "
"""Beginning of the names of tasks that make attempts; the subscriber's name follows."""

_RECALLED = 20
_ASK_AGAIN_S = 1.0


@dataclass(slots=True, kw_only=True)
class Workers:
    """Tasks that try one lane after the other, each lane at most once at a time.

    `moved_at` is the time at which an attempt has ended, or work has come after
    there was none, in monotonic seconds. While `is_choosing`, one lane waits
    for its passage, and the others are not asked.
    """

    name: SubscriberName
    attempts: Attempts
    admission: Admission
    lanes: Lanes
    ledger: Ledger
    delay_queue: DelayQueue
    in_flight: InFlight
    intake: Intake
    joining: Joining
    outcomes: OutcomeHandler
    redelivery: Redelivery
    standstill: Standstill
    clock: Clock
    batches: Batches | None = None
    moved_at: float = field(default=0.0, init=False)
    is_choosing: bool = field(default=False, init=False)
    is_closed: bool = field(default=False, init=False)
    _freed: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    @property
    def has_work(self) -> bool:
        """True while attempts are in flight, or could be."""
        return bool(self.in_flight) or (self.lanes.ready and not self.is_closed)

    def note_work(self, had_work: bool) -> None:  # noqa: FBT001 - the former value of `has_work`
        """Note that there is work, if there was none before."""
        if not had_work:
            self.moved_at = self.clock.monotonic()

    def close(self) -> None:
        """Begin no more attempts."""
        self.is_closed = True
        if self.batches is not None:
            self.batches.close()

    async def telling(self, work: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
        """Await `work`; an error of it cancels the attempts in flight, and they are told first."""
        try:
            await work(*arguments)
        except Exception:
            self.attempts.ending.set()
            raise

    async def run(self, group: asyncio.TaskGroup, feed: Feed) -> None:
        """Start a worker in `group` for each attempt that the target can take beside those in flight."""
        name = f"{ATTEMPT_TASK}{self.name}"
        SUBSCRIBER.set(self.name)
        while True:
            await self.ledger.room()
            await self._worker_needed()
            # A head that failed before can be broken itself, so it says less about the target.
            lane = await self.lanes.take(untried_first=self.admission.probes)
            self.is_choosing = True
            cleared = await self._is_cleared(lane)
            self.is_choosing = False
            if lane.state is not LaneState.OPEN:
                if cleared:
                    self.admission.forgone()
            elif cleared:
                work = self.telling(self._work, lane, self._begin(lane), feed)
                group.create_task(work, name=name)
            else:
                self.lanes.make_ready(lane)

    async def _worker_needed(self) -> None:
        while not self.admission.has_room:
            self._freed.clear()
            await self._freed.wait()

    async def _work(self, lane: Lane | None, ticket: Ticket, feed: Feed) -> None:
        """Try one lane after the other, until the next one would have to wait."""
        while lane is not None:
            await self._attempt(lane, ticket, feed)
            lane = self._next_at_once()
            if lane is not None:
                ticket = self._begin(lane)
            if self.admission.has_room:
                self._freed.set()
        if self.batches is not None:
            self.batches.reconsider()

    def _next_at_once(self) -> Lane | None:
        """Return a lane that can be tried now, unless another lane waits for its turn."""
        if self.is_closed or self.is_choosing or self.ledger.is_full:
            return None
        if not self.admission.is_clear() or not self.standstill.is_over():
            return None
        return self.lanes.take_at_once()

    def _begin(self, lane: Lane) -> Ticket:
        self.in_flight.begin(lane)
        return self.admission.begin(lane.full_name)

    async def _attempt(self, lane: Lane, ticket: Ticket, feed: Feed) -> None:
        before = cancellations()
        try:
            if await self._is_loaded(lane, ticket, feed) and await self._is_joined(lane, ticket, feed):
                tried = await self._tried(lane)
                if tried is None:
                    self._forgo(lane, ticket)
                else:
                    self.outcomes.tried(lane, ticket, tried)
        except asyncio.CancelledError:
            if self.attempts.ending.is_set():
                raise
            # A plugin cancelled an attempt that it was not called for.
            undo_cancellations(before)
            self._forgo(lane, ticket)
        finally:
            self.in_flight.end(lane)
        self.redelivery.attempt_ended(lane)
        self.moved_at = self.clock.monotonic()

    def _forgo(self, lane: Lane, ticket: Ticket) -> None:
        """End an attempt that sent nothing; a lane that is still ours gets another turn."""
        self.admission.forgone(ticket)
        if lane.state is LaneState.OPEN:
            self.lanes.make_ready(lane)

    async def _tried(self, lane: Lane) -> Tried | None:
        if self.batches is not None:
            return await self.batches.try_once(lane)
        return await self.attempts.try_once(lane, self.lanes.upcoming, partial(self._is_ours, lane))

    async def _is_ours(self, lane: Lane) -> bool:
        """Return whether an attempt at `lane` can begin now, but not later."""
        # The process can have stood still since the attempt was admitted.
        if not self.standstill.is_over():
            await self.standstill.over()
        return lane.state is LaneState.OPEN

    async def _is_loaded(self, lane: Lane, ticket: Ticket, feed: Feed) -> bool:
        """Load the head into memory; return whether it can be tried now, but not later."""
        found: list[Entry] | None = []
        if not lane.entries:
            found = await self._recalled(lane, feed)
        if not await self._is_ours(lane):
            self.admission.forgone(ticket)
            return False
        return bool(lane.entries) or self.outcomes.recalled(lane, ticket, found)

    async def _is_joined(self, lane: Lane, ticket: Ticket, feed: Feed) -> bool:
        """Join the head with its other halves, if it comes in halves; return whether it can be tried now."""
        if not self.attempts.upstream.joins:
            return True
        try:
            halves: Halves | None = await self.joining.join(lane, feed)
        except LogUnavailable as error:
            _log.warning("log.unavailable", subscriber=self.name, reason=str(error))
            halves = None
        # A lane that waits must be where the next half finds it, so nothing is awaited before.
        if halves is Halves.THERE and not self.standstill.is_over():
            await self.standstill.over()
        if lane.state is not LaneState.OPEN:
            self.admission.forgone(ticket)
        elif halves is None:
            self.admission.forgone(ticket)
            self.delay_queue.put(lane, _ASK_AGAIN_S)
        elif halves is not Halves.THERE:
            self.outcomes.unjoined(lane, ticket, halves)
        return lane.state is LaneState.OPEN and halves is Halves.THERE

    async def _recalled(self, lane: Lane, feed: Feed) -> list[Entry] | None:
        # Events recalled beside the head stay in memory until their turn comes.
        offsets = list(islice(lane.parked, 1 if self.intake.is_full else _RECALLED))
        try:
            return await self.ledger.recall(feed, lane.partition, offsets)
        except LogUnavailable as error:
            _log.warning("log.unavailable", subscriber=self.name, reason=str(error))
            return None

    async def _is_cleared(self, lane: Lane) -> bool:
        """Wait until an attempt can begin; true allows it now, but not later."""
        while await self.admission.passage(lane.full_name):
            if not await self.standstill.over():
                return True
            self.admission.forgone()
        return False
