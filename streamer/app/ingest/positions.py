"""Orders of positions."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from streamer.app.ingest.orders import ChannelOrders
from streamer.controls import AuditRecord, ControlState, PositionOrder
from streamer.events import Channel, ContinuityRecord, HoleCause
from streamer.ingest.positions import OrderedPositions
from streamer.ports import RecordedHoles


@dataclass(slots=True, kw_only=True)
class PositionOrders(ChannelOrders[PositionOrder]):
    """Orders to change positions; each ends when its record is in the log.

    The audit tells `position.refused` where Salesforce has refused the replay id.
    """

    kind: ClassVar = "position"

    log: RecordedHoles

    def of(self, channel: Channel) -> OrderedPositions:
        """Return the orders of a channel, now and at each change; they replace its former ones."""
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
