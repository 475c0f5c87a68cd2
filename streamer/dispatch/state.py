"""State of one subscriber: its undelivered events, their records in the log, and their ownership."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from streamer.clock import Clock
from streamer.dispatch.lanes.delay_queue import DelayQueue
from streamer.dispatch.lanes.lanes import InFlight, Lane, LaneName, Lanes, LaneState, Order
from streamer.dispatch.latest_deliveries import LatestDeliveries
from streamer.dispatch.ledger import Ledger
from streamer.dispatch.partition_progress import Proof
from streamer.events import DeadLetter, Entry, ParkedLane, Partition, SubscriberName
from streamer.observe.subscriber_status import Standing

_log = structlog.get_logger()

_BEATS_A_LIMIT = 4


@dataclass(slots=True, kw_only=True)
class StandstillDetector:
    """Detects two causes of lost partitions: the loop was frozen, or the log accepts no record.

    In both cases, no attempt begins until the log has accepted a record of all
    partitions. The log waits `session_s` seconds for a silent process before it gives
    the partitions to other processes. `session_s` is `None` if the log never gives
    partitions to other processes.
    """

    name: SubscriberName
    ledger: Ledger
    clock: Clock
    session_s: float | None
    lasts: bool = field(default=False, init=False)
    _beat: "Beat | None" = field(default=None, init=False)

    async def run(self) -> None:
        """Check periodically until cancelled; return at once if there is nothing to detect."""
        if self.session_s is None:
            return
        # The limit is half a session, because the process's last heartbeat to the log can be
        # older than the last strike.
        self._beat = Beat(self.clock, self.session_s / 2)
        while True:
            await self.clock.sleep(self._beat.interval_s)
            self._check()
            self._beat.strike()

    def is_over(self) -> bool:
        """Return whether this process certainly owns all its partitions at this moment."""
        # This check is needed because the process can have been frozen until now.
        self._check()
        return not self.ledger.ownership_check.lasts

    async def over(self) -> bool:
        """Wait until this process certainly owns all its partitions; return whether it had to wait."""
        self._check()
        has_waited = False
        while self.ledger.ownership_check.lasts:
            has_waited = True
            await self.ledger.ownership_check.over()
        return has_waited

    def has_ended(self) -> bool:
        """Return true only once, after a record has confirmed the ownership again."""
        if not self.lasts or self.ledger.ownership_check.lasts:
            return False
        self.lasts = False
        _log.info("dispatch.resumed", subscriber=self.name)
        return True

    def _check(self) -> None:
        if self.session_s is None or self._beat is None:
            return
        unconfirmed_s = self.ledger.unconfirmed_s()
        if frozen_s := self._beat.standstill_s():
            self._begin("dispatch.frozen", frozen_s)
        elif unconfirmed_s > self.session_s and not self.ledger.ownership_check.lasts:
            self._begin("dispatch.unconfirmed", unconfirmed_s)

    def _begin(self, what: str, seconds: float) -> None:
        self.lasts = True
        self.ledger.doubt_ownership()
        _log.warning(what, subscriber=self.name, for_s=round(seconds, 3))


class Beat:
    """Periodic time stamp of the running loop; its age shows whether the loop was frozen.

    If the process is stopped, or a plugin blocks the loop, the monotonic time between
    two strikes grows. If the machine is suspended, only the wall time grows, because
    the monotonic clock can stop. A wall clock that is set forward also counts as a
    freeze.
    """

    def __init__(self, clock: Clock, limit_s: float) -> None:
        """Treat a pause of more than `limit_s` seconds as a freeze."""
        self._clock = clock
        self._limit_s = limit_s
        self.strike()

    @property
    def interval_s(self) -> float:
        """Seconds between two strikes."""
        return self._limit_s / _BEATS_A_LIMIT

    def strike(self) -> None:
        """Note that the loop runs."""
        self._struck = self._clock.monotonic()
        self._struck_at = self._clock.now()

    def standstill_s(self) -> float:
        """Return the seconds of a freeze that has just ended, only once; otherwise 0.

        The first caller after the freeze gets the duration; this caller can be the
        periodic check or a delivery.
        """
        since_s = max(self._clock.monotonic() - self._struck, self._clock.now() - self._struck_at)
        if since_s <= self._limit_s:
            return 0.0
        self.strike()
        return since_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of one subscriber's events in memory, of its parked events and of its unrecorded deliveries.

    Reading pauses at `waiting` events or `waiting_bytes` bytes in memory, and
    resumes at half of these limits. A partition with `parked` parked events is not
    read further. No delivery begins while `finished` deliveries are not recorded.
    """

    waiting: int
    waiting_bytes: int = 16 * 1024 * 1024
    parked: int = 100_000
    finished: int = 100


class DispatchState:
    """All state of a subscriber's events in this process.

    The other parts of dispatch use this state, and have no such state of their own.
    Each lane is either ready for its turn (`lanes`), being tried (`in_flight`), or
    waiting for its next attempt (`delay_queue`). A method that moves a lane also notes
    in the `ledger` what the log must record. A method that moves a lane never awaits,
    so no task sees a half-finished move.

    After `is_closed` is set, no attempt begins. `moved_at` is the monotonic time at
    which the last attempt ended, or at which work arrived after a time without work.
    `behind` is the number of events in the log that are not read yet.
    """

    def __init__(
        self,
        name: SubscriberName,
        limits: Limits,
        clock: Clock,
        *,
        order: Order = Order.KEY,
        joins: bool = False,
        session_s: float | None = None,
    ) -> None:
        """Begin empty; after `session_s` seconds, the log moves the partitions of a silent process."""
        self.name = name
        self.limits = limits
        self.clock = clock
        self.order = order
        self.lanes = Lanes(order, joins=joins)
        self.delay_queue = DelayQueue(clock)
        self.in_flight = InFlight()
        self.ledger = Ledger(clock, most_finished=limits.finished)
        self.latest = LatestDeliveries()
        self.standstill = StandstillDetector(name=name, ledger=self.ledger, clock=clock, session_s=session_s)
        self.behind = 0
        self.moved_at = 0.0
        self.is_closed = False
        self._is_full = False

    @property
    def has_work(self) -> bool:
        """True while attempts are in flight, or could begin."""
        return bool(self.in_flight) or (self.lanes.ready and not self.is_closed)

    @property
    def has_undelivered(self) -> bool:
        """True while an event of this process waits, is being tried, is parked, or is not read yet."""
        return bool(self.behind or self.lanes.waiting or self.lanes.parked)

    @property
    def is_full(self) -> bool:
        """True from the moment at which memory becomes full until memory is half empty."""
        return self._is_full or self._is_above(1.0)

    def moved(self) -> None:
        """Note that an attempt has ended, or that work has arrived after a time without work."""
        self.moved_at = self.clock.monotonic()

    async def owns(self, lane: Lane) -> bool:
        """Return whether an attempt at `lane` can begin at this moment.

        The process can have been frozen since the attempt was admitted.
        """
        if not self.standstill.is_over():
            await self.standstill.over()
        return lane.state is LaneState.OPEN

    def queue(self, entry: Entry, is_awaited: Callable[[Lane, Entry], bool] | None = None) -> None:
        """Queue an event that was read; if its lane is parked, also park the event.

        If `is_awaited` returns true, the head of the waiting lane awaits this event,
        and the lane is due now.
        """
        parked = self.lanes.put(entry)
        if is_awaited is not None:
            lane = self.lanes.lane_of(entry)
            if lane is not None and lane in self.delay_queue and is_awaited(lane, entry):
                lane.retries.due_at = self.clock.now()
                self.delay_queue.put(lane, 0.0)
        if parked:
            self.ledger.park(parked.change(joined=[entry]))

    def restore(self, parked: Mapping[Partition, Sequence[ParkedLane]]) -> None:
        """Take over parked lanes, each with its stored due time."""
        now = self.clock.now()
        for partition, lanes in parked.items():
            for kept in lanes:
                lane = self.lanes.restore(partition, kept)
                self.delay_queue.put(lane, max(0.0, kept.setback.due_at - now))

    def park(self, lane: Lane, delay_s: float) -> None:
        """Park the events of `lane` in the log until the next attempt in `delay_s` seconds."""
        lane.retries.due_at = self.clock.now() + delay_s
        self._store(lane)
        self.delay_queue.put(lane, delay_s)

    def park_waiting(self, partitions: frozenset[Partition]) -> None:
        """Park the lanes that wait in memory for another attempt, so that their counts survive a crash."""
        for lane in self.delay_queue.unparked:
            if lane.partition in partitions and lane.state is LaneState.OPEN:
                self.park(lane, self.delay_queue.left_s(lane))

    def park_failed(self, partitions: frozenset[Partition], in_flight: Collection[Lane] = ()) -> None:
        """Park all lanes that have failed, except those `in_flight`, so that their attempts are stored.

        Lanes whose turn has come, but which a pause or a hold delays, are also parked.
        """
        self.park_waiting(partitions)
        for lane in self.lanes.failed_in(partitions):
            if lane not in in_flight:
                self.park(lane, 0.0)

    def give_back(self, attempts: Mapping[LaneName, int]) -> None:
        """Subtract attempts that failed because the target was down."""
        for name, number in attempts.items():
            if lane := self.lanes.get(name):
                lane.retries.give_back(number)
                if lane.is_parked:
                    self.ledger.alter(lane.change())

    def settle(self, lane: Lane, *proofs: Proof) -> None:
        """Settle the head with its records; the lane's next event, if there is one, then gets its turn."""
        offset, entry = lane.head_offset, lane.entries[0] if lane.entries else None
        was_parked = lane.is_parked
        lane.retries.due_at = self.clock.now()
        parts = self._advance(lane)
        if entry is not None and lane.halves.places is not None:
            lane.halves.forget_places(entry.event.id, {offset, *(part.offset for part in parts)})
        if was_parked:
            left = [offset, *(part.offset for part in parts)]
            self.ledger.alter(lane.change(left=left), *proofs)
        elif entry is not None:
            self.ledger.finish(entry, *proofs)
            for part in parts:
                self.ledger.skip(part)

    def rejoin(self, entry: Entry, letter: DeadLetter) -> None:
        """Park the event of a dead letter in its lane by offset, due at once; the lane must not be in flight.

        The record that parks the event also removes the dead letter.
        """
        now, lane = self.clock.now(), self.lanes.lane_of(entry)
        has_turn = lane is not None and lane not in self.delay_queue
        if lane is not None and not lane.is_parked:
            lane.retries.due_at = now
            self._store(lane)
        lane = self.lanes.join(entry)
        lane.retries.due_at = lane.redriven[entry.offset] = now
        self.ledger.redrive(lane.change(joined=[entry]), letter)
        if not has_turn:
            self.delay_queue.put(lane, 0.0)

    def begin_leaving(self, partitions: frozenset[Partition]) -> list[Lane]:
        """Begin no more attempts in `partitions`; return the lanes that are still being tried."""
        leaving = self.in_flight.of(partitions)
        self.park_failed(partitions, leaving)
        self.lanes.leave(partitions)
        self.delay_queue.drop(partitions)
        self.latest.drop(partitions)
        return leaving

    def standing(self, entry: Entry) -> Standing | None:
        """Return the standing of an event, or `None` if another process owns its partition."""
        is_settled, lane = self.ledger.is_settled(entry), self.lanes.lane_of(entry)
        if is_settled is None:
            return None
        # Parking an event settles its offset.
        if lane is not None and entry.offset in lane.parked:
            return Standing.RETRYING
        if is_settled:
            return Standing.SETTLED
        has_failed = lane is not None and bool(lane.retries.history.numbers)
        return Standing.RETRYING if has_failed else Standing.WAITING

    def update_fullness(self) -> bool:
        """Return whether memory is full, or was full and is not yet half empty."""
        self._is_full = self._is_above(0.5 if self._is_full else 1.0)
        return self._is_full

    def paused_partitions(self) -> frozenset[Partition]:
        """Return the partitions that must not be read for now."""
        if self._is_full or self.is_closed:
            return self.ledger.partitions
        return self.ledger.crowded.union(filter(self.is_parked_full, self.ledger.partitions))

    def is_parked_full(self, partition: Partition) -> bool:
        """Return true if the number of parked events of `partition` has reached its limit."""
        return self.lanes.parked_in(partition) >= self.limits.parked

    def _store(self, lane: Lane) -> None:
        absorbed = () if lane.is_parked else self.lanes.absorb(lane)
        self.ledger.park(lane.change(joined=self.lanes.park(lane)), absorbed)

    def _advance(self, lane: Lane) -> tuple[Entry, ...]:
        """Remove the head of `lane` together with the other halves of its event, and return these halves."""
        if lane.state is LaneState.OPEN:
            parts = self.lanes.absorb(lane)
            self.lanes.advance(lane)
        else:
            parts = lane.absorb()
            lane.advance()
        return parts

    def _is_above(self, share: float) -> bool:
        # Settled events that are not recorded are also counted, because a crash would repeat
        # these events.
        held = self.lanes.waiting + self.ledger.unrecorded
        return held >= share * self.limits.waiting or (
            self.lanes.waiting_bytes >= share * self.limits.waiting_bytes
        )
