"""Operators' orders to channels: positions, redrives of ingest's dead letters, and snapshots."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Generic, Self, TypeVar

import structlog

from streamer.backoff import Backoff, Delays
from streamer.clock import Clock
from streamer.controls import AuditRecord, ControlState, PositionOrder, Redrive, SnapshotOrder
from streamer.errors import LogUnavailable
from streamer.events import Channel, ContinuityRecord, HoleCause
from streamer.ingest.positions import OrderedPositions
from streamer.ports import Controls, RecordedHoles

_log = structlog.get_logger()

_BACKOFF = Backoff(first_s=1.0, limit_s=30.0)

Order = TypeVar("Order", PositionOrder, Redrive, SnapshotOrder)


def _leave_waiting(_: Channel) -> None:
    """Do not retry a failed channel early."""


@dataclass(slots=True, kw_only=True)
class ChannelOrders(ABC, Generic[Order]):
    """Orders of one `kind` in the log, for the channels of this process.

    The log records the end of an order that is carried out.
    """

    kind: ClassVar[str]

    controls: Controls
    clock: Clock
    _orders: Mapping[str, Order] | None = field(default=None, init=False)
    _followers: dict[Channel, Callable[[Mapping[str, Order]], None]] = field(default_factory=dict, init=False)
    _over: "asyncio.Queue[tuple[str, str, dict[str, Any]]]" = field(default_factory=asyncio.Queue, init=False)

    @abstractmethod
    def _all(self, board: ControlState) -> Mapping[str, Order]:
        """Return the open orders of this kind by id."""

    @abstractmethod
    def _path(self, order: Order) -> str | None:
        """Return the path of the order's channel."""

    @abstractmethod
    async def _write_end(self, order: Order, audit: AuditRecord) -> None:
        """Record that the order ended at the time of `audit`; raises `LogUnavailable`."""

    async def run(self, retry_now: Callable[[Channel], None] = _leave_waiting) -> None:
        """Follow the orders until cancelled.

        When the orders of a channel change, `retry_now` is called with the channel,
        because a failed channel can be waiting for its next try.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._end_orders(), name=f"ended orders: {self.kind}")
            async for board in self.controls.switched():
                former, self._orders = self._orders, self._all(board)
                for channel in self._followers:
                    is_changed = self._of(channel, self._orders) != self._of(channel, former or {})
                    if is_changed or former is None:
                        self._pass_on(channel)
                    if is_changed:
                        retry_now(channel)

    def subscribe(self, channel: Channel, follow: Callable[[Mapping[str, Order]], None]) -> None:
        """Call `follow` with the orders for `channel`, once they are known and then at each change.

        The orders of a call replace the orders of the previous call. `follow`
        replaces the channel's previous callback.
        """
        self._followers[channel] = follow
        self._pass_on(channel)

    def unsubscribe(self, channel: Channel) -> None:
        """Forget the callback for a channel that this process no longer owns."""
        self._followers.pop(channel, None)

    def _pass_on(self, channel: Channel) -> None:
        if self._orders is not None:
            self._followers[channel](self._of(channel, self._orders))

    def _of(self, channel: Channel, orders: Mapping[str, Order]) -> Mapping[str, Order]:
        return {name: each for name, each in orders.items() if self._path(each) == channel.path}

    def _carried_out(self, order_id: str, how: str = "ended", /, **outcome: Any) -> None:
        """End the order in the log. The audit record's name ends with `how`, and its detail has `outcome`."""
        self._over.put_nowait((order_id, how, outcome))

    async def _end_orders(self) -> None:
        while True:
            order_id, how, outcome = await self._over.get()
            delays = Delays(_BACKOFF)
            # An operator can have cancelled the order before its end was written.
            while (order := (self._orders or {}).get(order_id)) is not None:
                detail = {"id": order_id, "channel": self._path(order), **outcome}
                what = f"{self.kind}.{how}"
                audit = AuditRecord(at=self.clock.now(), what=what, by="streamer", detail=detail)
                try:
                    await self._write_end(order, audit)
                except LogUnavailable as error:
                    _log.warning(f"{self.kind}.not_ended", order=order_id, reason=str(error))
                    await self.clock.sleep(delays.next_s())
                else:
                    _log.info(what, order=order_id, **outcome)
                    break


@dataclass(slots=True, kw_only=True)
class PositionOrders(ChannelOrders[PositionOrder]):
    """Orders to change positions. An order ends when its record is in the log.

    If Salesforce refuses the replay id, the audit record is named
    `position.refused`.
    """

    kind: ClassVar = "position"

    log: RecordedHoles

    def of(self, channel: Channel) -> OrderedPositions:
        """Return the orders of a channel; the result changes whenever the orders in the log change."""
        made = OrderedPositions(log=self.log, ended=self._end)
        self.subscribe(channel, made.follow)
        return made

    def _end(self, order: PositionOrder, record: ContinuityRecord) -> None:
        if record.cause is HoleCause.POSITION_REFUSED:
            self._carried_out(order.id, "refused", reason=record.detail)
        else:
            self._carried_out(order.id, state=record.state)

    def _all(self, board: ControlState) -> Mapping[str, PositionOrder]:
        return board.positions

    def _path(self, order: PositionOrder) -> str:
        return order.channel

    async def _write_end(self, order: PositionOrder, audit: AuditRecord) -> None:
        await self.controls.order_position(replace(order, ended_at=audit.at), audit)


@dataclass(slots=True, kw_only=True)
class RedriveOrders(ChannelOrders[Redrive]):
    """Orders to redrive ingest's dead letters. An order ends when it has no dead letters left."""

    kind: ClassVar = "redrive"

    def end(self, order: Redrive) -> None:
        """End an order that has no dead letters left."""
        self._carried_out(order.id)

    def _all(self, board: ControlState) -> Mapping[str, Redrive]:
        # Orders without a channel belong to subscribers.
        return {name: each for name, each in board.redrives.items() if self._path(each) is not None}

    def _path(self, order: Redrive) -> str | None:
        return order.letters.channel

    async def _write_end(self, order: Redrive, audit: AuditRecord) -> None:
        await self.controls.order(replace(order, ended_at=audit.at), audit)


@dataclass(slots=True, kw_only=True)
class SnapshotOrders(ChannelOrders[SnapshotOrder]):
    """Orders of snapshots. An order ends with its snapshot."""

    kind: ClassVar = "snapshot"

    def end(self, record: ContinuityRecord) -> None:
        """End the order of a snapshot whose final `record` is in the log."""
        outcome = {"entity": record.entity, "state": record.state, "published": record.published}
        self._carried_out(record.id, **outcome)

    def _all(self, board: ControlState) -> Mapping[str, SnapshotOrder]:
        return board.snapshots

    def _path(self, order: SnapshotOrder) -> str:
        return order.channel

    async def _write_end(self, order: SnapshotOrder, audit: AuditRecord) -> None:
        await self.controls.order_snapshot(replace(order, ended_at=audit.at), audit)


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorOrders:
    """Orders of all kinds for this process's channels. A kind that is `None` is not followed."""

    snapshots: SnapshotOrders
    redrives: RedriveOrders | None = None
    positions: PositionOrders | None = None

    @classmethod
    def of(cls, controls: Controls, log: RecordedHoles, clock: Clock) -> Self:
        """Return the orders of every kind in `controls`."""
        return cls(
            snapshots=SnapshotOrders(controls=controls, clock=clock),
            redrives=RedriveOrders(controls=controls, clock=clock),
            positions=PositionOrders(controls=controls, log=log, clock=clock),
        )

    async def run(self, retry_now: Callable[[Channel], None] = _leave_waiting) -> None:
        """Follow the orders until cancelled; `retry_now` is called with a channel that gets a position."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.snapshots.run(), name="snapshots")
            if self.redrives is not None:
                group.create_task(self.redrives.run(), name="redrives")
            if self.positions is not None:
                group.create_task(self.positions.run(retry_now), name="positions")

    def unsubscribe(self, channel: Channel) -> None:
        """Forget a channel that this process no longer owns."""
        for kind in (self.positions, self.snapshots, self.redrives):
            if kind is not None:
                kind.unsubscribe(channel)
