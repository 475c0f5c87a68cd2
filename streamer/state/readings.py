"""Snapshots that supply whole records: all records of an object at first, and single records later."""

import asyncio
import hashlib
from collections.abc import Collection, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Self

import structlog

from streamer.channel_paths import carrier_of
from streamer.clock import Clock
from streamer.continuity.snapshots import records_of
from streamer.controls import ContinuityFilter
from streamer.errors import LogUnavailable
from streamer.events import ContinuityRecord, Event, HoleCause, Repair, record_id_of
from streamer.ingest.positions.holes import gap_hole_id
from streamer.ports import ContinuityCursor
from streamer.state.dirty import DirtyRecords
from streamer.state.orders import KeptOrders, StateOrders, epoch

# A first snapshot that failed is ordered again after this time, and then after ever longer times.
_RETRY_S = 600.0
_LONGEST_RETRY_S = 6 * 3600.0
_MOST_ATTEMPTS = 50
_OF_ENTITY = frozenset({HoleCause.OVERFLOW, HoleCause.ENTITY_CHANGE})
_OF_CHANNEL = frozenset(
    {
        HoleCause.REPLAY_ID_REFUSED,
        HoleCause.PLACE_LOST,
        HoleCause.BEFORE_RETENTION,
        HoleCause.POSITION_SET,
    }
)
_LOOK_EVERY_S = 5.0
_IDLE_LOOK_EVERY_S = 60.0
# A snapshot that has lasted for hours does not end within seconds.
_LOOKS_A_WAIT = 10
# A process can be behind by this long when it takes over.
_RECALLED_S = 24 * 3600.0
_MOST_RECALLED = 10_000

_log = structlog.get_logger()


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
    """Readings for the states: whole objects at first, and later the records that the stream does not tell.

    In the channels `unrepaired`, ingest does not read the records of gap events.
    """

    clock: Clock
    orders: StateOrders
    dirty: DirtyRecords
    unrepaired: frozenset[str] = frozenset()
    _first: dict[str, _FirstSnapshot] = field(default_factory=dict, init=False)
    _begun_at: dict[str, float] = field(default_factory=dict, init=False)
    _woken: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _cursor: ContinuityCursor | None = field(default=None, init=False)

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
        orders = StateOrders(log=log, clock=clock, channels=found, dirty=dirty)
        return cls(clock=clock, orders=orders, dirty=dirty, unrepaired=frozenset(unrepaired))

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
        self._cursor = None
        ids = [each for first in self._first.values() for each in first.ids]
        known = await self.orders.log.holes(ids)
        for entity, first in list(self._first.items()):
            begun = known.get(first.name)
            self._begun_at[entity] = self.clock.now() if begun is None else begun.recorded_at
            while first.id in known and first.attempt < _MOST_ATTEMPTS and not self._has_ended(entity, known):
                first.attempt += 1
            if first.id not in known:
                await self.orders.whole(entity, first.id)

    async def follow(self) -> None:
        """Find out when snapshots and holes have ended, and order failed first snapshots again.

        Runs until cancelled. Raises `LogUnavailable`.
        """
        waits_since: float | None = None
        while True:
            waits_since = await self._pause_before_look(waits_since)
            for entity, first in self._first.items():
                if first.retried_at is not None and first.retried_at <= self.clock.monotonic():
                    first.attempt += 1
                    first.retried_at = None
                    await self.orders.whole(entity, first.id)
            await self.orders.records(dict.fromkeys(self.dirty.overdue()))
            ids = {first.id for first in self._first.values() if first.is_open} | self.dirty.holes
            if not ids:
                continue
            known = await self.orders.log.holes(list(ids))
            for entity in list(self._first):
                self._has_ended(entity, known)
            self.dirty.ended(known)

    async def _pause_before_look(self, waits_since: float | None) -> float | None:
        """Pause; return since when this process waits for the end of something, in monotonic time."""
        if self.dirty.holes or self.dirty.is_awaited or any(first.is_open for first in self._first.values()):
            since = self.clock.monotonic() if waits_since is None else waits_since
            waited_s = self.clock.monotonic() - since
            await self.clock.sleep(min(max(_LOOK_EVERY_S, waited_s / _LOOKS_A_WAIT), _IDLE_LOOK_EVERY_S))
            return since
        self._woken.clear()
        with suppress(TimeoutError):
            async with self.clock.timeout(_IDLE_LOOK_EVERY_S):
                await self._woken.wait()
        return None

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
        found = await self.orders.log.controls.continuity(
            ContinuityFilter(recorded_from=since), last=_MOST_RECALLED
        )
        for record in found:
            self._recall_hole(record)
        async with aclosing(self.orders.log.controls.switched()) as boards:
            board = await anext(boards)
        for order in board.snapshots.values():
            self._recall(order.entity, records_of(order.where))

    def _recall_hole(self, record: ContinuityRecord) -> None:
        where = record.selection.where if record.selection else ""
        if where:
            self._recall(record.entity, records_of(where))
        elif record.record is not None:
            self._recall(record.entity, [record.record])
        elif record.entity is None or record.entity not in self.orders.channels:
            return
        elif record.cause in _OF_ENTITY and record.state is Repair.OPEN:
            self._lose(record.entity, record.until or record.recorded_at, [record.id])

    def _recall(self, entity: str | None, record_ids: Collection[str]) -> None:
        if entity is not None and entity in self.orders.channels:
            for record_id in record_ids:
                self.dirty.recall((entity, record_id))

    async def look_for_holes(self) -> None:
        """Take note of the holes in the channels that precede the events which were just read.

        A hole that nobody repairs is repaired by snapshots of all objects. Raises
        `LogUnavailable`.
        """
        if self._cursor is None:
            self._cursor = self.orders.log.controls.continuity_cursor()
        try:
            for record in await self._cursor.changed():
                if record.cause in _OF_CHANNEL:
                    await self._lose_channel(record)
        except LogUnavailable:
            # The cursor would not return these records again.
            self._cursor = None
            raise

    async def _lose_channel(self, hole: ContinuityRecord) -> None:
        """Note a hole of a channel. Raises `LogUnavailable`."""
        if hole.state is Repair.FULL and (hole.is_new or not self._is_recent(hole)):
            return
        for entity, begun_at in self._begun_at.items():
            if not carrier_of(entity, [hole.channel.path]) or hole.recorded_at < begun_at:
                continue
            if hole.is_unrepaired:
                await self._order_instead(entity, hole)
            else:
                until = hole.until or hole.recorded_at
                self._lose(entity, until, [hole.id], of_channel=True)

    def _is_recent(self, hole: ContinuityRecord) -> bool:
        return (hole.updated_at or hole.recorded_at) >= self.clock.now() - _RECALLED_S

    async def _order_instead(self, entity: str, hole: ContinuityRecord) -> None:
        """Order all records once because of a hole that nobody repairs."""
        digest = hashlib.sha256(hole.id.encode("utf-8", "backslashreplace")).hexdigest()[:16]
        ids = [f"snapshot:state-{entity}-hole-{digest}", f"snapshot:state-{entity}-hole-{digest}-deleted"]
        self.dirty.replaced(hole.id)
        if not await self.orders.log.holes(ids):
            await self.orders.lost(entity, ids)

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
            await self.orders.records({(entity, record_id): event})
        elif is_repaired:
            self._lose(entity, epoch(event.time), [gap_hole_id(event)])
        else:
            await self.orders.lost(entity)

    def _lose(self, entity: str, until: float, holes: Collection[str], *, of_channel: bool = False) -> None:
        self.dirty.lose(entity, until, holes, of_channel=of_channel)
        self._woken.set()
