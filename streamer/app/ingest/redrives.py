"""Orders to redrive letters of ingest: passes them from the log to the repairs of their channels."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import structlog

from streamer.backoff import Backoff, Delays
from streamer.clock import Clock
from streamer.controls import AuditRecord, Redrive
from streamer.errors import LogUnavailable
from streamer.events import Channel
from streamer.ports import Controls

_log = structlog.get_logger()

_BACKOFF = Backoff(first_s=1.0, limit_s=30.0)

Follow = Callable[[Mapping[str, Redrive]], None]
"""Call that takes the orders of one channel, by their ids, in the place of the former ones."""


@dataclass(slots=True, kw_only=True)
class RedriveOrders:
    """Orders to redrive letters of ingest, for the channels that this process owns.

    An order that has no letters left is ended in the log.
    """

    controls: Controls
    clock: Clock
    _orders: Mapping[str, Redrive] = field(default_factory=dict, init=False)
    _followers: dict[Channel, Follow] = field(default_factory=dict, init=False)
    _ended: "asyncio.Queue[Redrive]" = field(default_factory=asyncio.Queue, init=False)

    async def run(self) -> None:
        """Follow the orders until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._end(), name="ended redrives")
            async for board in self.controls.switched():
                orders = {
                    name: each for name, each in board.redrives.items() if each.letters.channel is not None
                }
                if orders != self._orders:
                    self._orders = orders
                    for channel in self._followers:
                        self._pass_on(channel)

    def subscribe(self, channel: Channel, follow: Follow) -> None:
        """Call `follow` with the orders for `channel`, now and at each change.

        It replaces the former `follow` of the channel.
        """
        self._followers[channel] = follow
        self._pass_on(channel)

    def end(self, order: Redrive) -> None:
        """End an order that has no letters left."""
        self._ended.put_nowait(order)

    def _pass_on(self, channel: Channel) -> None:
        orders = {name: each for name, each in self._orders.items() if each.letters.channel == channel.path}
        self._followers[channel](orders)

    async def _end(self) -> None:
        while True:
            order = await self._ended.get()
            delays = Delays(_BACKOFF)
            # An operator can have cancelled it meanwhile.
            while order.id in self._orders:
                audit = AuditRecord(
                    at=self.clock.now(),
                    what="redrive.ended",
                    by="streamer",
                    detail={"id": order.id, "channel": order.letters.channel},
                )
                try:
                    await self.controls.order(replace(order, ended_at=audit.at), audit)
                except LogUnavailable as error:
                    _log.warning("redrive.not_ended", redrive=order.id, reason=str(error))
                    await self.clock.sleep(delays.next_s())
                else:
                    _log.info("redrive.ended", redrive=order.id, channel=order.letters.channel)
                    break
