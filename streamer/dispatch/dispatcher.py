"""Delivers the log's events to one target."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice

import structlog

from streamer.clock import Clock
from streamer.dispatch.admission import Admission, Ticket
from streamer.dispatch.attempts import Attempts
from streamer.dispatch.beat import Beat
from streamer.dispatch.conclusions import Conclusions
from streamer.dispatch.lanes import Lane, Lanes, LaneState, Order
from streamer.dispatch.ledger import Ledger
from streamer.dispatch.schedule import RetrySchedule
from streamer.dispatch.timetable import Timetable
from streamer.errors import LogUnavailable
from streamer.events import DeadLetter, Entry, Partition
from streamer.ports import Assigned, Feed, LogReader, Page, Revoked, Subscription

_log = structlog.get_logger()

_PAUSE_S = 1.0
# Less than the log waits before it hands partitions over without us.
_LAND_S = 2.0
_RECALLED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one subscriber may hold at once.

    Above `waiting` events or `waiting_bytes` in memory reading pauses, and
    goes on at half of it. A partition of which more than `parked` events are
    parked is read no further.
    """

    waiting: int
    waiting_bytes: int = 16 * 1024 * 1024
    parked: int = 100_000


@dataclass(slots=True, kw_only=True)
class Dispatcher:
    """Carries the log's events to one target, in order per lane, many lanes at once.

    An event is settled when it was delivered, skipped, parked or set aside;
    only then does the next of its lane go out.

    A loop that stood still for longer than `freeze_limit_s` may have lost its
    partitions: no attempt begins from then on until the log has taken a record
    of them. `None` is for a log that gives them to nobody else meanwhile.
    """

    subscription: Subscription
    reader: LogReader
    attempts: Attempts
    schedule: RetrySchedule
    admission: Admission
    limits: Limits
    clock: Clock
    order: Order = Order.KEY
    freeze_limit_s: float | None = None
    following: bool = field(default=False, init=False)
    _lanes: Lanes = field(init=False)
    _ledger: Ledger = field(init=False)
    _timetable: Timetable = field(init=False)
    _conclusions: Conclusions = field(init=False)
    _busy: dict[Lane, asyncio.Task[None]] = field(default_factory=dict, init=False)
    _ended: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _behind: int = field(default=0, init=False)
    _full: bool = field(default=False, init=False)
    _draining: bool = field(default=False, init=False)
    _paused: frozenset[Partition] = field(default=frozenset(), init=False)
    _beat: Beat | None = field(default=None, init=False)
    _frozen: bool = field(default=False, init=False)
    _moved_at: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        """Set up what keeps the state of the deliveries."""
        self._lanes = Lanes(self.order)
        self._ledger = Ledger(self.clock)
        self._timetable = Timetable(self.clock)
        self._conclusions = Conclusions(
            attempts=self.attempts,
            schedule=self.schedule,
            lanes=self._lanes,
            ledger=self._ledger,
            timetable=self._timetable,
            admission=self.admission,
            clock=self.clock,
        )

    @property
    def held(self) -> str:
        """Why nothing is delivered at the moment; empty while deliveries go on."""
        return self.admission.hindrance

    @property
    def stalled_since(self) -> float | None:
        """Since when nothing was concluded though something could be, in the clock's monotonic seconds.

        `None` while there is nothing to try, and while a hold, an open breaker,
        retries that are not due or a doubt about our partitions explain the
        standstill.
        """
        if not self._has_work() or self.admission.hindrance or self._frozen:
            return None
        return max(self._moved_at, self.admission.open_since)

    def redrive(self, letter: DeadLetter) -> bool:
        """Deliver the event of a dead letter again, before what waits in its lane; false while that can't be.

        The letter is removed in the record that parks the event.
        """
        return not self._draining and self._conclusions.redrive(letter)

    async def run(self, stopping: asyncio.Event) -> None:
        """Deliver until `stopping`, then finish what is in flight, record it and return.

        Raises what `follow` and the opening of the plugin raise.
        """
        name = self.subscription.subscriber
        async with (
            self.attempts.opened(),
            self.reader.follow(self.subscription) as feed,
            asyncio.TaskGroup() as group,
        ):
            self.following = True
            helping = [
                group.create_task(self._read(feed), name=f"read {name}"),
                group.create_task(self._record(feed), name=f"record {name}"),
                group.create_task(self._wake_due(), name=f"timetable {name}"),
            ]
            if self.freeze_limit_s is not None:
                self._beat = Beat(self.clock, self.freeze_limit_s)
                helping.append(group.create_task(self._strike(self._beat), name=f"beat {name}"))
            delivering = group.create_task(self._deliver(group, feed), name=f"deliver {name}")
            await stopping.wait()
            delivering.cancel()
            await self._drain(feed)
            for task in helping:
                task.cancel()

    async def _drain(self, feed: Feed) -> None:
        # Reading goes on, for it also hears which partitions were lost.
        self._draining = True
        self._restrain(feed)
        await self._landed(list(self._busy))
        # Attempts that were spent must not be forgotten by a restart.
        self._conclusions.park_waiting(self._ledger.partitions)
        await self._ledger.complete()

    async def _read(self, feed: Feed) -> None:
        while True:
            try:
                await self._take_in(await feed.read(), feed)
            except LogUnavailable as error:
                _log.warning("log.unavailable", subscriber=self.subscription.subscriber, reason=str(error))
                await self.clock.sleep(_PAUSE_S)
            else:
                self._restrain(feed)
                self._observe()

    async def _take_in(self, read: Page | Assigned | Revoked, feed: Feed) -> None:
        match read:
            case Page():
                self._stir()
                for entry in read.entries:
                    self._conclusions.arrived(entry)
                self._ledger.passed(read.through)
                self._behind = read.behind
            case Assigned():
                self._ledger.assign(read)
                self._conclusions.restored(read.parked)
            case Revoked(partitions=partitions):
                self._paused -= partitions
                await self._give_up(partitions, feed)

    async def _give_up(self, partitions: frozenset[Partition], feed: Feed) -> None:
        """Let what is under way in `partitions` end, for a moment, and record it.

        Their next owner would repeat it, and a rolling restart repeats nothing.
        """
        self._conclusions.park_waiting(partitions)
        self._lanes.leave(partitions)
        self._timetable.drop(partitions)
        leaving = [lane for lane in self._busy if lane.partition in partitions]
        with suppress(TimeoutError):
            async with self.clock.timeout(_LAND_S):
                await self._landed(leaving)
        await self._ledger.give_up(feed, partitions)
        for lane in leaving:
            lane.state = LaneState.GONE

    async def _landed(self, lanes: list[Lane]) -> None:
        """Wait until no attempt at `lanes` is under way."""
        while any(lane in self._busy for lane in lanes):
            self._ended.clear()
            await self._ended.wait()

    async def _record(self, feed: Feed) -> None:
        while True:
            await self._ledger.record(feed)
            if self._frozen and not self._ledger.doubt.lasts:
                self._resume()
            self._restrain(feed)

    def _restrain(self, feed: Feed) -> None:
        """Pause the partitions of which no more should be read for now, and resume the others."""
        self._full = self._is_above(0.5 if self._full else 1.0)
        if self._full:
            # What only waits for another try makes room for what can be delivered.
            self._conclusions.park_waiting(self._ledger.partitions)
        paused = self._ledger.partitions if self._full or self._draining else self._crowded()
        if paused != self._paused:
            feed.pause(paused - self._paused)
            feed.resume(self._paused - paused)
            self._paused = paused

    def _is_above(self, share: float) -> bool:
        # What is settled but not recorded counts: a crash would repeat it.
        held = self._lanes.waiting + self._ledger.unrecorded
        return held >= share * self.limits.waiting or (
            self._lanes.waiting_bytes >= share * self.limits.waiting_bytes
        )

    def _crowded(self) -> frozenset[Partition]:
        most = self.limits.parked
        return self._ledger.crowded.union(
            partition for partition in self._ledger.partitions if self._lanes.parked_in(partition) >= most
        )

    async def _wake_due(self) -> None:
        while True:
            lane = await self._timetable.due()
            self._stir()
            self._lanes.make_ready(lane)

    async def _deliver(self, group: asyncio.TaskGroup, feed: Feed) -> None:
        name = self.subscription.subscriber
        while True:
            # What has failed says less of the target than what has not.
            lane = await self._lanes.take(untried_first=self.admission.probes)
            cleared = await self._is_cleared(lane)
            if lane.state is not LaneState.OPEN:
                continue
            if cleared:
                work = self._attempt(lane, self.admission.begin(lane.full_name), feed)
                self._busy[lane] = group.create_task(work, name=f"attempt {name}")
            else:
                self._lanes.make_ready(lane)

    async def _attempt(self, lane: Lane, ticket: Ticket, feed: Feed) -> None:
        try:
            if await self._is_at_hand(lane, ticket, feed):
                self._conclusions.tried(lane, ticket, await self.attempts.try_once(lane))
        finally:
            del self._busy[lane]
            self._ended.set()
        self._moved_at = self.clock.monotonic()
        self._observe()

    async def _is_at_hand(self, lane: Lane, ticket: Ticket, feed: Feed) -> bool:
        """Have the head in memory, and say whether it may still be tried, now and not later."""
        found: list[Entry] | None = []
        if not lane.entries:
            found = await self._recalled(lane, feed)
        # We may have stood still since the attempt was admitted.
        self._notice_standstill()
        while self._ledger.doubt.lasts:
            await self._ledger.doubt.over()
        if lane.state is not LaneState.OPEN:
            self.admission.abandoned(ticket)
            return False
        return bool(lane.entries) or self._conclusions.recalled(lane, ticket, found)

    async def _recalled(self, lane: Lane, feed: Feed) -> list[Entry] | None:
        offsets = list(islice(lane.parked, _RECALLED))
        try:
            return await self._ledger.recall(feed, lane.partition, offsets)
        except LogUnavailable as error:
            _log.warning("log.unavailable", subscriber=self.subscription.subscriber, reason=str(error))
            return None

    async def _is_cleared(self, lane: Lane) -> bool:
        """Wait until an attempt may begin; it may when this returns true, but not later."""
        while await self.admission.passage(lane.full_name):
            self._notice_standstill()
            if not self._ledger.doubt.lasts:
                return True
            await self._ledger.doubt.over()
        return False

    async def _strike(self, beat: Beat) -> None:
        while True:
            await self.clock.sleep(beat.interval_s)
            self._notice_standstill()
            beat.strike()

    def _notice_standstill(self) -> None:
        if self._beat is not None and (frozen_s := self._beat.standstill_s()):
            self._frozen = True
            self._ledger.question()
            _log.warning("dispatch.frozen", subscriber=self.subscription.subscriber, for_s=round(frozen_s, 3))

    def _resume(self) -> None:
        self._frozen = False
        self._moved_at = self.clock.monotonic()
        _log.info("dispatch.resumed", subscriber=self.subscription.subscriber)

    def _has_work(self) -> bool:
        return bool(self._busy) or (self._lanes.ready and not self._draining)

    def _stir(self) -> None:
        """Note that there is something to do, where there was nothing."""
        if not self._has_work():
            self._moved_at = self.clock.monotonic()

    def _observe(self) -> None:
        observer = self.attempts.observer
        observer.set_lag(self._behind + self._lanes.waiting)
        observer.set_in_flight(len(self._busy))
        observer.set_parked(self._lanes.parked)
        observer.set_limit(self.admission.limit)
        observer.set_held(bool(self.admission.hindrance))
