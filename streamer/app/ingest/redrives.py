"""Orders to redrive letters of ingest."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from streamer.app.ingest.orders import ChannelOrders
from streamer.controls import AuditRecord, ControlState, Redrive


@dataclass(slots=True, kw_only=True)
class RedriveOrders(ChannelOrders[Redrive]):
    """Orders to redrive letters of ingest; each ends when it has no letters left."""

    kind: ClassVar = "redrive"

    def end(self, order: Redrive) -> None:
        """End an order that has no letters left."""
        self._carried_out(order.id)

    def _all(self, board: ControlState) -> Mapping[str, Redrive]:
        # The others are of subscribers.
        return {name: each for name, each in board.redrives.items() if self._path(each) is not None}

    def _path(self, order: Redrive) -> str | None:
        return order.letters.channel

    async def _write_end(self, order: Redrive, audit: AuditRecord) -> None:
        await self.controls.order(replace(order, ended_at=audit.at), audit)
