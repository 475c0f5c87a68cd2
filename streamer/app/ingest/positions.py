"""Orders of positions: passes them from the log to the channels that this process reads."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import structlog

from streamer.backoff import Backoff, Delays
from streamer.clock import Clock
from streamer.controls import AuditRecord, PositionOrder, Switchboard
from streamer.errors import LogUnavailable
from streamer.events import Channel
from streamer.ingest.positions import OrderedPositions
from streamer.ports import Controls, RecordedHoles

_log = structlog.get_logger()

_BACKOFF = Backoff(first_s=1.0, limit_s=30.0)


@dataclass(slots=True, kw_only=True)
class PositionOrders:
    """Orders to change positions, for the channels that this process owns.

    An order whose record is in the log is removed. `hurry` is called with a
    channel whose orders change: it can be one that has failed, and waits to be
    tried again.
    """

    controls: Controls
    log: RecordedHoles
    clock: Clock
    hurry: Callable[[Channel], None] = field(default=lambda _: None)
    _board: Switchboard = field(default_factory=Switchboard, init=False)
    _followers: dict[Channel, OrderedPositions] = field(default_factory=dict, init=False)
    _ended: "asyncio.Queue[PositionOrder]" = field(default_factory=asyncio.Queue, init=False)

    def of(self, channel: Channel) -> OrderedPositions:
        """Return the orders of a channel, now and at each change, in the place of its former ones."""
        made = self._followers[channel] = OrderedPositions(log=self.log, ended=self._ended.put_nowait)
        made.follow(_of(channel, self._board))
        return made

    async def run(self) -> None:
        """Follow the orders until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._remove(), name="ended orders of positions")
            async for board in self.controls.switched():
                former, self._board = self._board, board
                for channel, follower in self._followers.items():
                    if (orders := _of(channel, board)) != _of(channel, former):
                        follower.follow(orders)
                        self.hurry(channel)

    async def _remove(self) -> None:
        while True:
            order = await self._ended.get()
            delays = Delays(_BACKOFF)
            # An operator can have withdrawn it meanwhile.
            while order.id in self._board.positions:
                audit = AuditRecord(
                    at=self.clock.now(),
                    what="position.ended",
                    by="streamer",
                    detail={"id": order.id, "channel": order.channel},
                )
                try:
                    await self.controls.order_position(replace(order, ended_at=audit.at), audit)
                except LogUnavailable as error:
                    _log.warning("position.not_removed", order=order.id, reason=str(error))
                    await self.clock.sleep(delays.next_s())
                else:
                    break


def _of(channel: Channel, board: Switchboard) -> Mapping[str, PositionOrder]:
    return {name: each for name, each in board.positions.items() if each.channel == channel.path}
