"""Delivery of a lane's head: recalled from the log, joined, shaped and tried."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import islice, takewhile

import structlog

from streamer.dispatch.chains.joining import Joining
from streamer.dispatch.commands import ASK_AGAIN, REQUEUE, SET_LOST_ASIDE, Command
from streamer.dispatch.delivery.attempts import AttemptResult
from streamer.dispatch.lanes.lane import Lane, LaneState
from streamer.dispatch.state import DispatchState
from streamer.errors import LogUnavailable
from streamer.events import Entry
from streamer.ports import Feed

_log = structlog.get_logger()

_RECALLED = 20

TryOnce = Callable[[Lane], Awaitable[AttemptResult | None]]
"""Delivers the head of a lane, and returns `None` if the lane was lost before the call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadDelivery:
    """Tries the head of a lane, or returns the command for a lane whose head can't be tried now."""

    state: DispatchState
    try_once: TryOnce
    joining: Joining | None

    async def ending(self, lane: Lane, feed: Feed) -> AttemptResult | Command:
        """Return what an attempt at the head of `lane` came to.

        The command for a lane that was lost meanwhile has no meaning.
        """
        if not lane.entries:
            command = await self._recalled(lane, feed)
            if command is not None:
                return command
        elif not self.state.standstill.is_over() and not await self.state.owns(lane):
            return REQUEUE
        if self.joining is not None and (command := await self._joined(self.joining, lane, feed)) is not None:
            return command
        if lane.state is not LaneState.OPEN:
            return REQUEUE
        tried = await self.try_once(lane)
        return REQUEUE if tried is None else tried

    async def _recalled(self, lane: Lane, feed: Feed) -> Command | None:
        """Recall the first events of a parked lane into memory; return the command if that failed."""
        # Events recalled beside the head stay in memory until their turn comes.
        offsets = list(islice(lane.parked, 1 if self.state.is_full else _RECALLED))
        entries: list[Entry] | None
        try:
            entries = await self.state.ledger.recall(feed, lane.partition, offsets)
        except LogUnavailable as error:
            self._warn(error)
            entries = None
        if not await self.state.owns(lane):
            return REQUEUE
        if lane.entries:
            return None
        if entries and entries[0].offset == lane.head_offset:
            self.state.lanes.recalled(lane, _without_gap(lane, entries))
            return None
        return ASK_AGAIN if entries is None else SET_LOST_ASIDE

    async def _joined(self, joining: Joining, lane: Lane, feed: Feed) -> Command | None:
        """Join the head with its other halves; return the command if it can't be tried now."""
        try:
            command = await joining.join(lane, feed)
        except LogUnavailable as error:
            self._warn(error)
            return ASK_AGAIN
        # A lane that waits must be where the next half finds it, so nothing is awaited before.
        if command is None and not await self.state.owns(lane):
            return REQUEUE
        return command

    def _warn(self, error: LogUnavailable) -> None:
        _log.warning("log.unavailable", subscriber=self.state.name, reason=str(error))


def _without_gap(lane: Lane, entries: list[Entry]) -> list[Entry]:
    pairs = zip(lane.parked, entries, strict=False)
    return [entry for _, entry in takewhile(lambda pair: pair[0] == pair[1].offset, pairs)]
