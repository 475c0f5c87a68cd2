"""Snapshots that supply whole records: all records of an object at first, and single records later."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, Self

import structlog

from streamer.channel_paths import carrier_of
from streamer.clock import Clock
from streamer.continuity.snapshots import records_of, where_of
from streamer.controls import AuditRecord, ContinuityFilter, SnapshotOrder
from streamer.events import ContinuityRecord, Event, HoleCause, Repair, record_id_of
from streamer.ingest.positions.holes import gap_hole_id
from streamer.ports import Controls, RecordedHoles
from streamer.state.dirty import DirtyRecords, RecordKey

BY = "state"
"""Name that stands for the operator in the orders of this module."""

_ORDERED = "snapshot.ordered"
_IDS_AT_ONCE = 200
_AROUND_S = 3600.0
# Each order leaves a continuity record, so orders for single records are collected for a while.
_EVERY_S = 1.0
# A first snapshot that failed is ordered again after this time, and then after ever longer times.
_RETRY_S = 600.0
_LONGEST_RETRY_S = 6 * 3600.0
_MOST_ATTEMPTS = 50
_OF_ENTITY = frozenset({HoleCause.OVERFLOW, HoleCause.ENTITY_CHANGE})
_LOOK_EVERY_S = 5.0
# A process can be behind by this long when it takes over.
_RECALLED_S = 24 * 3600.0
_MOST_RECALLED = 10_000
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
class _FirstSnapshot:
    """First snapshot of an object; after an attempt that failed, `retried_at` is a monotonic time."""

    name: str
    attempt: int = 1
    retried_at: float | None = None

    @property
    def id(self) -> str:
        """Id of the present attempt."""
        return self._id(self.attempt)

    @property
    def ids(self) -> list[str]:
        """Ids of all attempts."""
        return [self._id(number) for number in range(1, _MOST_ATTEMPTS + 1)]

    @property
    def is_open(self) -> bool:
        """True while the present attempt has not ended."""
        return self.retried_at is None

    def _id(self, attempt: int) -> str:
        return self.name if attempt == 1 else f"{self.name}-{attempt}"


@dataclass(slots=True, kw_only=True)
class StateReadings:
    """Orders of snapshots in the log; the owner of a channel carries them out through the channel.

    `channels` has the channel that carries the changes of each object. In the channels
    `unrepaired`, ingest does not read the records of gap events.
    """

    log: KeptOrders
    clock: Clock
    channels: Mapping[str, str]
    dirty: DirtyRecords
    unrepaired: frozenset[str] = frozenset()
    _first: dict[str, _FirstSnapshot] = field(default_factory=dict, init=False)
    _ordered_at: float = field(default=0.0, init=False)

    @classmethod
    def of(
        cls,
        objects: Collection[str],
        paths: Sequence[str],
        log: KeptOrders,
        clock: Clock,
        unrepaired: Collection[str] = (),
    ) -> Self:
        """Return the readings of `objects`, whose changes are carried by some of the channels at `paths`."""
        carriers = {entity: carrier_of(entity, paths) for entity in objects}
        found = {name: path for name, path in carriers.items() if path}
        dirty = DirtyRecords(clock=clock)
        return cls(log=log, clock=clock, channels=found, dirty=dirty, unrepaired=frozenset(unrepaired))

    @property
    def loading(self) -> frozenset[str]:
        """Objects whose first snapshot has not ended, so that missing records are expected."""
        return frozenset(entity for entity, first in self._first.items() if first.is_open)

    async def begin(self, origins: Mapping[str, str]) -> None:
        """Order the first snapshot of each object whose states are new. Raises `LogUnavailable`.

        The id of an order follows from the origin of the states, so several processes
        order the same snapshot, and a state topic that is created again gets a new
        snapshot.
        """
        self._first = {
            entity: _FirstSnapshot(name=f"snapshot:state-{entity}-{origin}")
            for entity, origin in origins.items()
        }
        ids = [each for first in self._first.values() for each in first.ids]
        known = await self.log.holes(ids)
        for entity, first in list(self._first.items()):
            while first.id in known and first.attempt < _MOST_ATTEMPTS and not self._has_ended(entity, known):
                first.attempt += 1
            if first.id not in known:
                await self._order(entity, first.id)

    async def follow(self) -> None:
        """Find out when snapshots and holes have ended, and order failed first snapshots again.

        Runs until cancelled. Raises `LogUnavailable`.
        """
        while True:
            await self.clock.sleep(_LOOK_EVERY_S)
            for entity, first in self._first.items():
                if first.retried_at is not None and first.retried_at <= self.clock.monotonic():
                    first.attempt += 1
                    first.retried_at = None
                    await self._order(entity, first.id)
            await self.order(dict.fromkeys(self.dirty.overdue()))
            ids = {first.id for first in self._first.values() if first.is_open} | self.dirty.holes
            if not ids:
                continue
            known = await self.log.holes(list(ids))
            for entity in list(self._first):
                self._has_ended(entity, known)
            self.dirty.ended(known)

    def _has_ended(self, entity: str, known: Mapping[str, ContinuityRecord]) -> bool:
        """Note the end of a first snapshot; return true if all records are in the log."""
        first = self._first[entity]
        record = known.get(first.id)
        if record is None or record.state is Repair.OPEN or first.retried_at is not None:
            return False
        if record.state is Repair.FULL:
            del self._first[entity]
            _log.info("state.loaded", entity=entity, snapshot=first.id)
            return True
        wait_s = min(_RETRY_S * 2 ** (first.attempt - 1), _LONGEST_RETRY_S)
        first.retried_at = self.clock.monotonic() + wait_s
        _log.error(
            "state.incomplete",
            entity=entity,
            snapshot=first.id,
            reason=record.detail,
            tried_again_in_s=wait_s,
            hint="until the snapshot is complete, records that have not changed since have no states",
        )
        return False

    async def recall(self) -> None:
        """Find the records that other processes may have ordered, and the objects with open holes.

        The row of such a record can be in the log already, before or after the position
        of this process. So the record is ordered again at its next update. Raises
        `LogUnavailable`.
        """
        since = self.clock.now() - _RECALLED_S
        found = await self.log.controls.continuity(ContinuityFilter(recorded_from=since), last=_MOST_RECALLED)
        for record in found:
            self._recall_hole(record)
        async with aclosing(self.log.controls.switched()) as boards:
            board = await anext(boards)
        for order in board.snapshots.values():
            self._recall(order.entity, records_of(order.where))

    def _recall_hole(self, record: ContinuityRecord) -> None:
        where = record.selection.where if record.selection else ""
        if where:
            self._recall(record.entity, records_of(where))
        elif record.record is not None:
            self._recall(record.entity, [record.record])
        elif record.entity is None or record.entity not in self.channels:
            return
        elif record.cause in _OF_ENTITY and record.state is Repair.OPEN:
            self.dirty.lose(record.entity, record.until or record.recorded_at, [record.id])

    def _recall(self, entity: str | None, record_ids: Collection[str]) -> None:
        if entity is not None and entity in self.channels:
            for record_id in record_ids:
                self.dirty.recall((entity, record_id))

    async def gap(self, event: Event) -> None:
        """Take note of a gap event or a redriven event: ingest reads the records after it.

        Ingest does not read them on a channel that only records gap events. Raises
        `LogUnavailable`.
        """
        entity, record_id = event.data["entity"], record_id_of(event.data.get("record_id"))
        is_repaired = event.channel not in self.unrepaired
        if record_id is not None and is_repaired:
            self.dirty.expect((entity, record_id))
        elif record_id is not None:
            await self.order({(entity, record_id): event})
        elif is_repaired:
            self.dirty.lose(entity, _epoch(event.time), [gap_hole_id(event)])
        else:
            await self.order_all([entity])

    async def order(self, unclear: Mapping[RecordKey, Event | None]) -> None:
        """Order a reading of the records in `unclear`, each with its unclear event, if known.

        After an unclear deletion, the reading also looks for deletions since the hour
        before. The orders are durable when the method returns. Raises `LogUnavailable`.
        """
        wanted: dict[tuple[str, bool], list[str]] = {}
        for (entity, record_id), event in unclear.items():
            is_deletion = event is not None and event.is_deletion
            wanted.setdefault((entity, is_deletion), []).append(record_id)
        for (entity, is_deletion), record_ids in wanted.items():
            for begin in range(0, len(record_ids), _IDS_AT_ONCE):
                some = record_ids[begin : begin + _IDS_AT_ONCE]
                times = [event.time for key in some if (event := unclear[entity, key]) is not None]
                since = _epoch(min(times)) - _AROUND_S if is_deletion else None
                await self._pause()
                await self._order(entity, SnapshotOrder.new_id(), where=where_of(some), since=since)
                for record_id in some:
                    self.dirty.ordered((entity, record_id))

    async def order_all(self, entities: Collection[str]) -> None:
        """Order all records of `entities`, and their deletions, because events were lost.

        Raises `LogUnavailable`.
        """
        now = self.clock.now()
        for entity in entities:
            _log.error("state.changes_lost", entity=entity)
            ids = [SnapshotOrder.new_id(), SnapshotOrder.new_id()]
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


def _epoch(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()
