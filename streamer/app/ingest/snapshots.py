"""Orders of snapshots: passes them from the log to the repairs of their channels."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import structlog

from streamer.backoff import Backoff, Delays
from streamer.clock import Clock
from streamer.controls import AuditRecord, SnapshotOrder
from streamer.errors import LogUnavailable
from streamer.events import Channel, ContinuityRecord
from streamer.ports import Controls

_log = structlog.get_logger()

_BACKOFF = Backoff(first_s=1.0, limit_s=30.0)

Follow = Callable[[Mapping[str, SnapshotOrder]], None]
"""Call that takes the orders of one channel, by their ids, in the place of the former ones."""


@dataclass(slots=True, kw_only=True)
class SnapshotOrders:
    """Orders of snapshots in the log, for the channels that this process owns.

    An order whose snapshot has ended is removed from the log.
    """

    controls: Controls
    clock: Clock
    _orders: Mapping[str, SnapshotOrder] | None = field(default=None, init=False)
    _followers: dict[Channel, Follow] = field(default_factory=dict, init=False)
    _ended: "asyncio.Queue[ContinuityRecord]" = field(default_factory=asyncio.Queue, init=False)

    async def run(self) -> None:
        """Follow the orders until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._remove(), name="ended snapshots")
            async for board in self.controls.switched():
                if board.snapshots != self._orders:
                    self._orders = board.snapshots
                    for channel in self._followers:
                        self._pass_on(channel)

    def subscribe(self, channel: Channel, follow: Follow) -> None:
        """Call `follow` with the orders for `channel`, as soon as they are known and at each change.

        It replaces the former `follow` of the channel.
        """
        self._followers[channel] = follow
        self._pass_on(channel)

    def end(self, record: ContinuityRecord) -> None:
        """Remove the order of a snapshot whose final `record` is in the log."""
        self._ended.put_nowait(record)

    def _pass_on(self, channel: Channel) -> None:
        if self._orders is not None:
            orders = {name: each for name, each in self._orders.items() if each.channel == channel.path}
            self._followers[channel](orders)

    async def _remove(self) -> None:
        while True:
            record = await self._ended.get()
            delays = Delays(_BACKOFF)
            while not await self._is_removed(record):
                await self.clock.sleep(delays.next_s())

    async def _is_removed(self, record: ContinuityRecord) -> bool:
        order = (self._orders or {}).get(record.id)
        if order is None:
            return True
        audit = AuditRecord(
            at=self.clock.now(),
            what="snapshot.ended",
            by="streamer",
            detail={
                "id": record.id,
                "channel": order.channel,
                "entity": order.entity,
                "state": record.state,
                "published": record.published,
            },
        )
        try:
            await self.controls.order_snapshot(replace(order, ended_at=audit.at), audit)
        except LogUnavailable as error:
            _log.warning("snapshot.not_removed", snapshot=record.id, reason=str(error))
            return False
        _log.info("snapshot.ended", snapshot=record.id, state=record.state, published=record.published)
        return True
