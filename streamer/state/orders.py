"""Orders of snapshots that the state keeper gives to the owners of the channels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import structlog

from streamer.clock import Clock
from streamer.continuity.snapshots import where_of
from streamer.controls import AuditRecord, SnapshotOrder
from streamer.events import Event
from streamer.ports import Controls, RecordedHoles
from streamer.state.dirty import DirtyRecords, RecordKey

BY = "state"
"""Name that stands for the operator in the orders of this module."""

_ORDERED = "snapshot.ordered"
_IDS_AT_ONCE = 200
_AROUND_S = 3600.0
# Each order leaves a continuity record, so orders for single records are collected for a while.
_EVERY_S = 1.0
# Salesforce reports deletions of the last 15 days (REST API guide, get deleted).
_DELETIONS_S = 14.5 * 24 * 3600.0

_log = structlog.get_logger()


class KeptOrders(RecordedHoles, Protocol):
    """Log that keeps the orders of snapshots, and their continuity records."""

    @property
    def controls(self) -> Controls:
        """Orders."""
        ...


@dataclass(slots=True, kw_only=True)
class StateOrders:
    """Writes orders of snapshots into the log; the owner of a channel carries them out.

    `channels` has the channel that carries the changes of each object. The orders are
    durable when a method returns. Each method raises `LogUnavailable`.
    """

    log: KeptOrders
    clock: Clock
    channels: Mapping[str, str]
    dirty: DirtyRecords
    _ordered_at: float = field(default=0.0, init=False)

    async def whole(self, entity: str, order_id: str) -> None:
        """Order all records of an object."""
        await self._order(entity, order_id)

    async def records(self, unclear: Mapping[RecordKey, Event | None]) -> None:
        """Order a reading of the records in `unclear`, each with its unclear event, if known.

        After an unclear deletion, or a gap event in place of a deletion, the reading also
        looks for deletions since the hour before.
        """
        wanted: dict[tuple[str, bool], list[str]] = {}
        for (entity, record_id), event in unclear.items():
            is_deletion = event is not None and _tells_deletion(event)
            wanted.setdefault((entity, is_deletion), []).append(record_id)
        for (entity, is_deletion), record_ids in wanted.items():
            for begin in range(0, len(record_ids), _IDS_AT_ONCE):
                some = record_ids[begin : begin + _IDS_AT_ONCE]
                times = [event.time for key in some if (event := unclear[entity, key]) is not None]
                since = epoch(min(times)) - _AROUND_S if is_deletion else None
                await self._pause()
                await self._order(entity, SnapshotOrder.new_id(), where=where_of(some), since=since)
                for record_id in some:
                    self.dirty.ordered((entity, record_id))

    async def lost(self, entity: str, ids: Sequence[str] = ()) -> None:
        """Order all records of an object and its deletions, because its changes were lost.

        `ids` are the ids of the two orders; without them, the orders get new ones.
        """
        ids = ids or [SnapshotOrder.new_id(), SnapshotOrder.new_id()]
        now = self.clock.now()
        _log.error("state.changes_lost", entity=entity)
        await self._order(entity, ids[0])
        await self._order(entity, ids[1], since=now - _DELETIONS_S)
        self.dirty.lose(entity, now, ids)

    async def _pause(self) -> None:
        left_s = self._ordered_at + _EVERY_S - self.clock.monotonic()
        if left_s > 0:
            await self.clock.sleep(left_s)
        self._ordered_at = self.clock.monotonic()

    async def _order(
        self, entity: str, order_id: str, *, where: str = "", since: float | None = None
    ) -> None:
        channel, now = self.channels[entity], self.clock.now()
        order = SnapshotOrder(
            id=order_id, channel=channel, entity=entity, where=where, since=since, by=BY, at=now
        )
        detail = {"id": order_id, "channel": channel, "entity": entity, "where": where}
        await self.log.controls.order_snapshot(
            order, AuditRecord(at=now, what=_ORDERED, by=BY, detail=detail)
        )
        _log.info(_ORDERED, snapshot=order_id, channel=channel, entity=entity, by=BY)


def _tells_deletion(event: Event) -> bool:
    return event.is_deletion or event.data.get("change") == "GAP_DELETE"


def epoch(time: str) -> float:
    """Return an event's time in epoch seconds."""
    return datetime.fromisoformat(time).timestamp()
