"""Delivers the log's events to one target."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from streamer.clock import Clock
from streamer.dispatch.attempts import Attempts
from streamer.dispatch.beat import Beat
from streamer.dispatch.gate import Gate
from streamer.dispatch.lanes import Lane, Lanes, LaneState
from streamer.dispatch.ledger import Ledger
from streamer.dispatch.schedule import RetrySchedule
from streamer.errors import LogUnavailable
from streamer.events import Delivered, Disable, Hold, Outcome, Partition, Reject, Retry, Skip
from streamer.ports import Assigned, Feed, LogReader, Page, Revoked, Subscription

_log = structlog.get_logger()

_PAUSE_S = 1.0
# Less than the log waits before it hands partitions over without us.
_LAND_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one subscriber may hold at once.

    `in_flight` keys are delivered at a time; above `waiting` events in memory
    reading pauses, and goes on at half of it.
    """

    in_flight: int
    waiting: int


@dataclass(slots=True, kw_only=True)
class Dispatcher:
    """Carries the log's events to one target, in order per key, many keys at once.

    An event is settled when it was delivered, skipped or set aside; only then
    does the next of its key go out.

    A loop that stood still for longer than `freeze_limit_s` may have lost its
    partitions: no attempt begins from then on until the log has taken a record
    of them. `None` is for a log that gives them to nobody else meanwhile.
    """

    subscription: Subscription
    reader: LogReader
    attempts: Attempts
    schedule: RetrySchedule
    limits: Limits
    clock: Clock
    freeze_limit_s: float | None = None
    following: bool = field(default=False, init=False)
    _lanes: Lanes = field(default_factory=Lanes, init=False)
    _ledger: Ledger = field(init=False)
    _gate: Gate = field(init=False)
    _busy: dict[asyncio.Task[None], Lane] = field(default_factory=dict, init=False)
    _ended: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _timers: set[asyncio.Task[None]] = field(default_factory=set, init=False)
    _behind: int = field(default=0, init=False)
    _full: bool = field(default=False, init=False)
    _draining: bool = field(default=False, init=False)
    _paused: frozenset[Partition] = field(default=frozenset(), init=False)
    _beat: Beat | None = field(default=None, init=False)
    _frozen: bool = field(default=False, init=False)
    _moved_at: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        """Set up what keeps the state of the deliveries."""
        self._ledger = Ledger(self.clock)
        self._gate = Gate(self.clock)

    @property
    def held(self) -> str:
        """Why nothing is delivered at the moment; empty while deliveries go on."""
        return self._gate.reason

    @property
    def stalled_since(self) -> float | None:
        """Since when nothing was concluded though something could be, in the clock's monotonic seconds.

        `None` while there is nothing to try, and while a hold, retries that
        are not due or a doubt about our partitions explain the standstill.
        """
        if not self._has_work() or not self._gate.is_open or self._frozen:
            return None
        return max(self._moved_at, self._gate.opened_at)

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
            ]
            if self.freeze_limit_s is not None:
                self._beat = Beat(self.clock, self.freeze_limit_s)
                helping.append(group.create_task(self._strike(self._beat), name=f"beat {name}"))
            workers = {
                group.create_task(self._work(group, stopping), name=f"deliver {name} {number}")
                for number in range(self.limits.in_flight)
            }
            await stopping.wait()
            await self._drain(feed, workers)
            # Not sooner: what failed while draining has set timers too.
            for task in {*helping, *self._timers}:
                task.cancel()

    async def _drain(self, feed: Feed, workers: set[asyncio.Task[None]]) -> None:
        # Reading goes on, for it also hears which partitions were lost.
        self._draining = True
        self._restrain(feed)
        for worker in workers - self._busy.keys():
            worker.cancel()
        await asyncio.wait(workers)
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
                    self._ledger.opened(entry)
                    self._lanes.put(entry)
                self._ledger.passed(read.through)
                self._behind = read.behind
            case Assigned():
                self._ledger.assign(read)
            case Revoked(partitions=partitions):
                self._lanes.leave(partitions)
                self._paused -= partitions
                leaving = await self._landed(partitions)
                await self._ledger.give_up(feed, partitions)
                for lane in leaving:
                    lane.state = LaneState.GONE

    async def _landed(self, partitions: frozenset[Partition]) -> list[Lane]:
        """Wait for what is under way in `partitions`, for a moment; return what still is.

        Their next owner would repeat it, and a rolling restart repeats nothing.
        """
        leaving = [lane for lane in self._busy.values() if lane.partition in partitions]
        with suppress(TimeoutError):
            async with self.clock.timeout(_LAND_S):
                while any(lane in self._busy.values() for lane in leaving):
                    self._ended.clear()
                    await self._ended.wait()
        return leaving

    async def _record(self, feed: Feed) -> None:
        while True:
            await self._ledger.record(feed)
            if self._frozen and not self._ledger.doubt.lasts:
                self._resume()
            self._restrain(feed)

    def _restrain(self, feed: Feed) -> None:
        """Pause the partitions of which no more should be read for now, and resume the others."""
        # What is settled but not recorded counts: a crash would repeat it.
        held = self._lanes.waiting + self._ledger.unrecorded
        limit = self.limits.waiting
        self._full = held > limit // 2 if self._full else held >= limit
        paused = self._ledger.partitions if self._full or self._draining else self._ledger.crowded
        if paused != self._paused:
            feed.pause(paused - self._paused)
            feed.resume(self._paused - paused)
            self._paused = paused

    async def _work(self, group: asyncio.TaskGroup, stopping: asyncio.Event) -> None:
        this = asyncio.current_task()
        assert this is not None  # noqa: S101 - a coroutine of a task group runs in a task
        while not (stopping.is_set() or this.cancelling()):
            lane = await self._lanes.take()
            await self._clearance()
            if lane.state is not LaneState.OPEN:
                continue
            self._busy[this] = lane
            try:
                outcome = await self.attempts.try_once(lane)
            finally:
                del self._busy[this]
                self._ended.set()
            if lane.state is LaneState.OPEN:
                self._conclude(lane, outcome, group)
            # An attempt that outlived its partition has no say: the next owner
            # repeats it. While that is handed over, what was finished counts.
            elif lane.state is LaneState.LEAVING and isinstance(outcome, Delivered | Skip):
                self._ledger.settle(lane.head)
            self._moved_at = self.clock.monotonic()
            self._observe()

    async def _clearance(self) -> None:
        """Wait until an attempt may begin; it may when this returns, but not later."""
        while True:
            await self._gate.passage()
            self._notice_standstill()
            if not self._ledger.doubt.lasts:
                return
            await self._ledger.doubt.over()

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

    def _conclude(self, lane: Lane, outcome: Outcome, group: asyncio.TaskGroup) -> None:
        match outcome:
            case Delivered() | Skip():
                self._ledger.settle(lane.head)
                self._lanes.advance(lane)
            case Retry():
                self._retry(lane, outcome, group)
            case Reject():
                lane.attempts += 1
                self._set_aside(lane, outcome, reason="rejected")
            case Hold(after_s=after_s, reason=reason):
                self._gate.hold(after_s, reason)
                self._lanes.again(lane)
                self._say_held(reason, after_s)
            case Disable(reason=reason):
                self._gate.disable(reason)
                self._lanes.again(lane)
                self._say_held(reason, None)

    def _retry(self, lane: Lane, failure: Retry, group: asyncio.TaskGroup) -> None:
        now = self.clock.now()
        lane.attempts += 1
        lane.first_failed_at = lane.first_failed_at or now
        if self.schedule.is_over(failing_for_s=now - lane.first_failed_at):
            self._set_aside(lane, failure, reason="retries_exhausted")
            return
        delay = self.schedule.delay_s(lane.attempts, asked_s=failure.after_s)
        timer = group.create_task(self._wake(lane, delay), name=f"retry {lane.key}")
        self._timers.add(timer)
        timer.add_done_callback(self._timers.discard)

    async def _wake(self, lane: Lane, delay_s: float) -> None:
        await self.clock.sleep(delay_s)
        self._stir()
        self._lanes.again(lane)

    def _set_aside(self, lane: Lane, failure: Retry | Reject, *, reason: str) -> None:
        self._ledger.settle(lane.head, self.attempts.dead_letter(lane, failure, reason=reason))
        self._lanes.advance(lane)

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
        observer.set_held(not self._gate.is_open)

    def _say_held(self, reason: str, after_s: float | None) -> None:
        _log.warning(
            "subscriber.held", subscriber=self.subscription.subscriber, reason=reason, after_s=after_s
        )
