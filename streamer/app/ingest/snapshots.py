"""Orders of snapshots."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from streamer.app.ingest.orders import ChannelOrders
from streamer.controls import AuditRecord, ControlState, SnapshotOrder
from streamer.events import ContinuityRecord


@dataclass(slots=True, kw_only=True)
class SnapshotOrders(ChannelOrders[SnapshotOrder]):
    """Orders of snapshots; each ends with its snapshot."""

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
