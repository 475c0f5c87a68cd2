"""Intake of one subscriber: reads the feed within bounds, and gives partitions up."""

from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from streamer.clock import Clock
from streamer.dispatch.lanes.delay_queue import DelayQueue
from streamer.dispatch.lanes.in_flight import InFlight
from streamer.dispatch.lanes.lane import LaneState
from streamer.dispatch.lanes.lanes import Lanes
from streamer.dispatch.progress.ledger import Ledger
from streamer.dispatch.settling.outcomes import OutcomeHandler
from streamer.errors import LogUnavailable
from streamer.events import Partition, SubscriberName
from streamer.ports import Assigned, Feed, Page, Revoked

_log = structlog.get_logger()

_PAUSE_S = 1.0
# Less than the time after which the log moves partitions without our consent.
_FINISH_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one subscriber's events in memory, in parked lanes and in unrecorded deliveries.

    Above `waiting` events or `waiting_bytes` in memory reading pauses, and it
    resumes at half of them. A partition with more than `parked` parked events
    is not read further. No delivery begins while `finished` deliveries are not
    recorded.
    """

    waiting: int
    waiting_bytes: int = 16 * 1024 * 1024
    parked: int = 100_000
    finished: int = 100


@dataclass(slots=True, kw_only=True)
class Intake:
    """Takes events in no faster than they are delivered, and gives partitions up when the log asks."""

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
        """Return what the feed returns next; while the log is unavailable, log a warning and try again."""
        while True:
            try:
                return await feed.read()
            except LogUnavailable as error:
                _log.warning("log.unavailable", subscriber=self.name, reason=str(error))
                await self.clock.sleep(_PAUSE_S)

    async def take(self, read: Page | Assigned | Revoked, feed: Feed) -> None:
        """Process a page, an assignment or a revocation."""
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
        """True from the time when memory is full until it is half empty."""
        return self._full or self._is_above(1.0)

    def close(self, feed: Feed) -> None:
        """Queue no more events; reading continues, because it also reports lost partitions."""
        self._closed = True
        self.restrain(feed)

    def restrain(self, feed: Feed) -> None:
        """Pause the partitions that must not be read for now, and resume the others."""
        self._full = self._is_above(0.5 if self._full else 1.0)
        if self._full:
            # Events that only wait for another try make room for events that can be delivered.
            self.outcomes.park_waiting(self.ledger.partitions)
        elif self.outcomes.joining.upstream.joins:
            # The halves that they wait for can stand behind what the log can hardly keep.
            self.outcomes.park_waiting(self.ledger.crowded)
        paused = self.ledger.partitions if self._full or self._closed else self._crowded()
        if paused != self._paused:
            feed.pause(paused - self._paused)
            feed.resume(self._paused - paused)
            self._report_full(paused - self._paused)
            self._paused = paused

    async def _give_up(self, partitions: frozenset[Partition], feed: Feed) -> None:
        """Wait briefly for the attempts in flight in `partitions`, and record them.

        Their next owner would repeat unrecorded ones, and a rolling restart
        must repeat nothing.
        """
        leaving = self.in_flight.of(partitions)
        self.outcomes.park_failed(partitions, leaving)
        self.lanes.leave(partitions)
        self.delay_queue.drop(partitions)
        self.outcomes.redelivery.revoked(partitions)
        with suppress(TimeoutError):
            async with self.clock.timeout(_FINISH_S):
                await self.in_flight.landed(leaving)
        await self.ledger.give_up(feed, partitions)
        for lane in leaving:
            lane.state = LaneState.GONE

    def _report_full(self, paused: frozenset[Partition]) -> None:
        """Log the partitions in which so many events wait for halves that these can't be read any more."""
        if not self.outcomes.joining.upstream.joins:
            return
        for partition in paused:
            if self.lanes.parked_in(partition) >= self.limits.parked:
                _log.error(
                    "join.full",
                    subscriber=self.name,
                    topic=partition.topic,
                    partition=partition.number,
                    parked=self.lanes.parked_in(partition),
                    hint="raise max_parked of this subscriber: what its events wait for is behind them",
                )

    def _is_above(self, share: float) -> bool:
        # Settled but unrecorded events count: a crash would repeat them.
        held = self.lanes.waiting + self.ledger.unrecorded
        return held >= share * self.limits.waiting or (
            self.lanes.waiting_bytes >= share * self.limits.waiting_bytes
        )

    def _crowded(self) -> frozenset[Partition]:
        most = self.limits.parked
        return self.ledger.crowded.union(
            partition for partition in self.ledger.partitions if self.lanes.parked_in(partition) >= most
        )
