"""Delivers the log's events to one target."""

import asyncio
from dataclasses import dataclass, field

import structlog

from streamer.clock import Clock
from streamer.dispatch.attempts import Attempts
from streamer.dispatch.gate import Gate
from streamer.dispatch.lanes import Lane, Lanes
from streamer.dispatch.ledger import Ledger
from streamer.dispatch.schedule import RetrySchedule
from streamer.errors import LogUnavailable
from streamer.events import Delivered, Disable, Hold, Outcome, Partition, Reject, Retry, Skip
from streamer.ports import Assigned, Feed, LogReader, Page, Revoked, Subscription

_log = structlog.get_logger()

_PAUSE_S = 1.0


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
    """

    subscription: Subscription
    reader: LogReader
    attempts: Attempts
    schedule: RetrySchedule
    limits: Limits
    clock: Clock
    following: bool = field(default=False, init=False)
    _lanes: Lanes = field(default_factory=Lanes, init=False)
    _ledger: Ledger = field(init=False)
    _gate: Gate = field(init=False)
    _busy: set[asyncio.Task[None]] = field(default_factory=set, init=False)
    _timers: set[asyncio.Task[None]] = field(default_factory=set, init=False)
    _behind: int = field(default=0, init=False)
    _full: bool = field(default=False, init=False)
    _draining: bool = field(default=False, init=False)
    _paused: frozenset[Partition] = field(default=frozenset(), init=False)

    def __post_init__(self) -> None:
        """Set up what keeps the state of the deliveries."""
        self._ledger = Ledger(self.clock)
        self._gate = Gate(self.clock)

    @property
    def held(self) -> str:
        """Why nothing is delivered at the moment; empty while deliveries go on."""
        return self._gate.reason

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
        for worker in workers - self._busy:
            worker.cancel()
        await asyncio.wait(workers)
        await self._ledger.complete()

    async def _read(self, feed: Feed) -> None:
        while True:
            try:
                self._take_in(await feed.read())
            except LogUnavailable as error:
                _log.warning("log.unavailable", subscriber=self.subscription.subscriber, reason=str(error))
                await self.clock.sleep(_PAUSE_S)
            else:
                self._restrain(feed)
                self._observe()

    def _take_in(self, read: Page | Assigned | Revoked) -> None:
        match read:
            case Page():
                for entry in read.entries:
                    self._ledger.opened(entry)
                    self._lanes.put(entry)
                self._ledger.passed(read.through)
                self._behind = read.behind
            case Assigned():
                self._ledger.assign(read)
            case Revoked(partitions=partitions):
                self._lanes.drop(partitions)
                self._ledger.revoke(partitions)
                self._paused -= partitions

    async def _record(self, feed: Feed) -> None:
        while True:
            await self._ledger.record(feed)
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
            await self._gate.passage()
            if not lane.alive:
                continue
            self._busy.add(this)
            try:
                outcome = await self.attempts.try_once(lane)
            finally:
                self._busy.discard(this)
            # An attempt that outlived its lane has no say: the partition's
            # next owner repeats it.
            if lane.alive:
                self._conclude(lane, outcome, group)
            self._observe()

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
        self._lanes.again(lane)

    def _set_aside(self, lane: Lane, failure: Retry | Reject, *, reason: str) -> None:
        self._ledger.settle(lane.head, self.attempts.dead_letter(lane, failure, reason=reason))
        self._lanes.advance(lane)

    def _observe(self) -> None:
        observer = self.attempts.observer
        observer.set_lag(self._behind + self._lanes.waiting)
        observer.set_in_flight(len(self._busy))
        observer.set_held(not self._gate.is_open)

    def _say_held(self, reason: str, after_s: float | None) -> None:
        _log.warning(
            "subscriber.held", subscriber=self.subscription.subscriber, reason=reason, after_s=after_s
        )
