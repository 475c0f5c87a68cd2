"""What a subscriber takes in of the log, and hands over to others."""

from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from streamer.clock import Clock
from streamer.dispatch.lanes.delay_queue import DelayQueue
from streamer.dispatch.lanes.in_flight import InFlight
from streamer.dispatch.lanes.lane import LaneState
from streamer.dispatch.lanes.lanes import Lanes
from streamer.dispatch.outcomes import OutcomeHandler
from streamer.dispatch.progress.ledger import Ledger
from streamer.errors import LogUnavailable
from streamer.events import Partition, SubscriberName
from streamer.ports import Assigned, Feed, Page, Revoked

_log = structlog.get_logger()

_PAUSE_S = 1.0
# Less than the log waits before it hands partitions over without us.
_LAND_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one subscriber may hold at once.

    Above `waiting` events or `waiting_bytes` in memory reading pauses, and
    goes on at half of it. A partition of which more than `parked` events are
    parked is read no further. While as many as `finished` deliveries are not
    recorded, no more begin.
    """

    waiting: int
    waiting_bytes: int = 16 * 1024 * 1024
    parked: int = 100_000
    finished: int = 100


@dataclass(slots=True, kw_only=True)
class Intake:
    """Takes events in no faster than they are delivered, and gives partitions up when asked to."""

    name: SubscriberName
    limits: Limits
    clock: Clock
    lanes: Lanes
    ledger: Ledger
    delay_queue: DelayQueue
    outcomes: OutcomeHandler
    in_flight: InFlight
    behind: int = field(default=0, init=False)
    _closed: bool = field(default=False, init=False)
    _full: bool = field(default=False, init=False)
    _paused: frozenset[Partition] = field(default=frozenset(), init=False)

    async def read(self, feed: Feed) -> Page | Assigned | Revoked:
        """Wait for what the log has next, and for the log if it is away."""
        while True:
            try:
                return await feed.read()
            except LogUnavailable as error:
                _log.warning("log.unavailable", subscriber=self.name, reason=str(error))
                await self.clock.sleep(_PAUSE_S)

    async def take(self, read: Page | Assigned | Revoked, feed: Feed) -> None:
        """Take in what was read."""
        match read:
            case Page():
                for entry in read.entries:
                    self.outcomes.arrived(entry)
                self.ledger.passed(read.through)
                self.behind = read.behind
            case Assigned():
                self.ledger.assign(read)
                self.outcomes.restored(read.parked)
            case Revoked(partitions=partitions):
                self._paused -= partitions
                await self._give_up(partitions, feed)
        self.restrain(feed)

    @property
    def is_full(self) -> bool:
        """Whether as much is in memory as may be, until half of it is left."""
        return self._full or self._is_above(1.0)

    def close(self, feed: Feed) -> None:
        """Take no more events in; reading goes on, for it also tells which partitions were lost."""
        self._closed = True
        self.restrain(feed)

    def restrain(self, feed: Feed) -> None:
        """Pause the partitions of which no more should be read for now, and resume the others."""
        self._full = self._is_above(0.5 if self._full else 1.0)
        if self._full:
            # What only waits for another try makes room for what can be delivered.
            self.outcomes.park_waiting(self.ledger.partitions)
        paused = self.ledger.partitions if self._full or self._closed else self._crowded()
        if paused != self._paused:
            feed.pause(paused - self._paused)
            feed.resume(self._paused - paused)
            self._paused = paused

    async def _give_up(self, partitions: frozenset[Partition], feed: Feed) -> None:
        """Let what is under way in `partitions` end, for a moment, and record it.

        Their next owner would repeat it, and a rolling restart repeats nothing.
        """
        leaving = self.in_flight.of(partitions)
        self.outcomes.park_failed(partitions, leaving)
        self.lanes.leave(partitions)
        self.delay_queue.drop(partitions)
        with suppress(TimeoutError):
            async with self.clock.timeout(_LAND_S):
                await self.in_flight.landed(leaving)
        await self.ledger.give_up(feed, partitions)
        for lane in leaving:
            lane.state = LaneState.GONE

    def _is_above(self, share: float) -> bool:
        # What is settled but not recorded counts: a crash would repeat it.
        held = self.lanes.waiting + self.ledger.unrecorded
        return held >= share * self.limits.waiting or (
            self.lanes.waiting_bytes >= share * self.limits.waiting_bytes
        )

    def _crowded(self) -> frozenset[Partition]:
        most = self.limits.parked
        return self.ledger.crowded.union(
            partition for partition in self.ledger.partitions if self.lanes.parked_in(partition) >= most
        )
