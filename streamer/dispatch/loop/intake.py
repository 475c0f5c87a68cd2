"""Intake of one subscriber: reads the feed within bounds, and gives partitions up."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from streamer.dispatch.chains.joining import Joining
from streamer.dispatch.delivery.attempts import Attempts
from streamer.dispatch.lanes.lane import LaneState
from streamer.dispatch.state import DispatchState
from streamer.errors import LogUnavailable
from streamer.events import Entry, Event, Partition
from streamer.ports import Assigned, Feed, Page, Revoked

_log = structlog.get_logger()

_PAUSE_S = 1.0
# Less than the time after which the log moves partitions without our consent.
_FINISH_S = 2.0


@dataclass(slots=True, kw_only=True)
class Intake:
    """Takes events in no faster than they are delivered, and gives partitions up when the log asks.

    `on_read` takes note of each event that was read.
    """

    state: DispatchState
    attempts: Attempts
    joining: Joining | None
    on_read: Callable[[Event], None]
    _paused: frozenset[Partition] = field(default=frozenset(), init=False)

    async def read(self, feed: Feed) -> Page | Assigned | Revoked:
        """Return what the feed returns next; while the log is unavailable, log a warning and try again."""
        while True:
            try:
                return await feed.read()
            except LogUnavailable as error:
                _log.warning("log.unavailable", subscriber=self.state.name, reason=str(error))
                await self.state.clock.sleep(_PAUSE_S)

    async def take(self, read: Page | Assigned | Revoked, feed: Feed) -> None:
        """Process a page, an assignment or a revocation."""
        match read:
            case Page():
                for entry in read.entries:
                    self._arrived(entry)
                self.state.ledger.passed(read.through)
                self.state.behind = read.behind
            case Assigned():
                self.state.ledger.assign(read)
                self.state.restore(read.parked)
            case Revoked(partitions=partitions):
                self._paused -= partitions
                await self._give_up(partitions, feed)
        self.restrain(feed)

    def restrain(self, feed: Feed) -> None:
        """Pause the partitions that must not be read for now, and resume the others."""
        state = self.state
        if state.update_fullness():
            # Events that only wait for another try make room for events that can be delivered.
            state.park_waiting(state.ledger.partitions)
        elif self.joining is not None:
            # The halves that they wait for can stand behind those that the log can hardly keep.
            state.park_waiting(state.ledger.crowded)
        paused = state.paused_partitions()
        if paused != self._paused:
            feed.pause(paused - self._paused)
            feed.resume(self._paused - paused)
            self._report_full(paused - self._paused)
            self._paused = paused

    def _arrived(self, entry: Entry) -> None:
        state, event = self.state, entry.event
        state.ledger.opened(entry)
        self.on_read(event)
        if self.attempts.skips(event):
            state.ledger.skip(entry, *self.attempts.forwarded(event, None))
        else:
            state.queue(entry, None if self.joining is None else self.joining.is_awaited)

    async def _give_up(self, partitions: frozenset[Partition], feed: Feed) -> None:
        """Wait briefly for the attempts in flight in `partitions`, and record them.

        Their next owner would repeat unrecorded ones, and a rolling restart
        must repeat nothing.
        """
        state = self.state
        leaving = state.begin_leaving(partitions)
        with suppress(TimeoutError):
            async with state.clock.timeout(_FINISH_S):
                await state.in_flight.landed(leaving)
        await state.ledger.give_up(feed, partitions)
        for lane in leaving:
            lane.state = LaneState.GONE

    def _report_full(self, paused: frozenset[Partition]) -> None:
        """Log the partitions in which so many events wait for their other parts that reading has stopped."""
        if self.joining is None:
            return
        for partition in filter(self.state.is_parked_full, paused):
            _log.error(
                "join.full",
                subscriber=self.state.name,
                topic=partition.topic,
                partition=partition.number,
                parked=self.state.lanes.parked_in(partition),
                hint="raise max_parked of this subscriber: what its events wait for is behind them",
            )
