"""Batches: one call of the plugin makes several attempts at different lanes."""

import asyncio
from dataclasses import dataclass, field

from streamer.dispatch.admission.admission import Admission
from streamer.dispatch.delivery.attempts import AttemptResult, Attempts
from streamer.dispatch.delivery.plugin_calls import cancellations, undo_cancellations
from streamer.dispatch.lanes.lanes import Lane, LaneState, Order
from streamer.dispatch.state import DispatchState
from streamer.events import Delivery, Entry
from streamer.ports import Batching


@dataclass(slots=True, eq=False)
class _Batch:
    """Deliveries of one call, and their results."""

    members: dict[Lane, tuple[Entry, Delivery]] = field(default_factory=dict)
    filled: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    tried: dict[Lane, AttemptResult] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.members)

    def add(self, lane: Lane, delivery: Delivery) -> None:
        """Add the head of `lane`."""
        self.members[lane] = lane.head, delivery


@dataclass(slots=True, kw_only=True)
class Batches:
    """Collects attempts at different lanes, so that the plugin delivers several events in one call.

    Each attempt has its own ticket, outcome and record. The attempt that begins a
    batch makes the call in its own task, and the other attempts wait for the
    result.
    """

    batching: Batching
    attempts: Attempts
    admission: Admission
    state: DispatchState
    _filling: _Batch | None = field(default=None, init=False)
    _under_way: int = field(default=0, init=False)

    async def try_once(self, lane: Lane) -> AttemptResult | None:
        """Deliver the head of `lane` in a batch; return `None` if the lane was lost before the call."""
        shaped = await self.attempts.shaped(lane, self.state.lanes.upcoming)
        if isinstance(shaped, AttemptResult):
            return self.attempts.noted(shaped)
        if lane.state is not LaneState.OPEN:
            # The lane was lost while records were read.
            return None
        if self._filling is None:
            self._filling = batch = _Batch()
            batch.add(lane, shaped)
            self.reconsider()
            await self._lead(batch)
        else:
            batch = self._filling
            batch.add(lane, shaped)
            self.reconsider()
            await self._follow(batch)
        return batch.tried.get(lane)

    def reconsider(self) -> None:
        """Send the batch that is being filled, if the batch is full or no more attempts can join."""
        batch = self._filling
        if batch is not None and (len(batch) >= self.batching.size or not self._more_can_come(batch)):
            self._send()

    def _send(self) -> None:
        if self._filling is not None:
            self._under_way += len(self._filling)
            self._filling.filled.set()
            self._filling = None

    def _more_can_come(self, batch: _Batch) -> bool:
        state, in_flight = self.state, len(self.state.in_flight)
        # An attempt that is in no batch recalls its event, or has just ended and takes the next
        # lane. So this attempt can still join.
        if in_flight > self._under_way + len(batch):
            return True
        if state.is_closed or state.ledger.is_full or not self.admission.opens_within(self.batching.wait_s):
            return False
        if state.order is Order.PARTITION and in_flight >= len(state.ledger.partitions):
            return False
        return state.lanes.ready or not state.is_full

    async def _lead(self, batch: _Batch) -> None:
        try:
            await self._fill(batch)
            # The process can have been frozen or have lost partitions while the batch was filled.
            await self.state.standstill.over()
            await self._call(batch)
        finally:
            if batch.filled.is_set():
                self._under_way -= len(batch)
            batch.ended.set()

    async def _fill(self, batch: _Batch) -> None:
        before = cancellations()
        try:
            async with self.state.clock.timeout(self.batching.wait_s):
                await batch.filled.wait()
        except TimeoutError:
            pass
        except asyncio.CancelledError:
            self._survive(before)
        if self._filling is batch:
            self._send()

    async def _call(self, batch: _Batch) -> None:
        members = {lane: member for lane, member in batch.members.items() if lane.state is LaneState.OPEN}
        if not members:
            return
        began = self.state.clock.monotonic()
        deliveries = tuple(delivery for _, delivery in members.values())
        outcomes = await self.attempts.delivered_together(deliveries)
        seconds, share = self.state.clock.monotonic() - began, 1 / len(members)
        for (lane, (entry, delivery)), outcome in zip(members.items(), outcomes, strict=True):
            tried = AttemptResult(entry, outcome, seconds, share, delivery=delivery)
            batch.tried[lane] = self.attempts.noted(tried)

    async def _follow(self, batch: _Batch) -> None:
        before = cancellations()
        while not batch.ended.is_set():
            try:
                await batch.ended.wait()
            except asyncio.CancelledError:
                # The call is still running, so the lane must not be tried again before the call
                # ends.
                self._survive(before)

    def _survive(self, cancellations_before: int) -> None:
        """Ignore a cancellation by the plugin; raise `CancelledError` when the attempts must end."""
        if self.attempts.plugin.ending.is_set():
            raise asyncio.CancelledError
        undo_cancellations(cancellations_before)
