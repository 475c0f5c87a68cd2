"""Repair of gap events: the records that they name are read, and published as recovered."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice

import structlog

from streamer.clock import Clock
from streamer.continuity.gap_json import gap_from_json, gap_to_json
from streamer.errors import UnreadableEvent
from streamer.events import Channel, ContinuityRecord, Event, HoleCause, Repair
from streamer.ingest.positions.holes import holes_of
from streamer.ingest.reading.rereading import Rereading
from streamer.ingest.repairs import Repaired
from streamer.normalise.records import RecordShape, recovered_event
from streamer.ports import Describer

_log = structlog.get_logger()

# So many whole records are some megabytes.
_AT_ONCE = 200
# They are in memory together, and in one append.
_MOST_AT_ONCE = 1_000
_MOST_OPEN = 10_000
# A new field is then read too.
_SHAPE_S = 3600.0


_NOTHING = Repaired()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gap:
    event: Event
    hole: ContinuityRecord


@dataclass(slots=True, kw_only=True)
class GapRepair:
    """Reads the records of one channel's gap events, and tells what the events did not.

    A gap event names a record that has changed, and holds none of its values
    (CDC guide, gap events). A record that can't be read now is read later, also
    after a restart: its continuity record is open until then, and has the gap
    event in `progress`. At most 10,000 wait; more are not repaired. At most
    1,000 are repaired with one answer.
    """

    channel: Channel
    rereading: Rereading
    describer: Describer
    clock: Clock
    _open: dict[str, dict[str, _Gap]] = field(default_factory=dict, init=False)
    _unreadable: list[ContinuityRecord] = field(default_factory=list, init=False)
    _shapes: dict[str, tuple[float, RecordShape]] = field(default_factory=dict, init=False)

    def resume(self, holes: Sequence[ContinuityRecord], /) -> None:
        """Go on with the gap events that wait in the log: see `Repairs`."""
        for hole in holes:
            if hole.cause is not HoleCause.GAP_EVENT:
                continue
            try:
                self._wait(_Gap(event=gap_from_json(hole.progress), hole=hole))
            except ValueError as error:
                detail = f"{hole.detail}; the log holds no gap event that can be read ({error})"
                self._unreadable.append(self._ended(hole, Repair.NONE, detail))

    async def repaired(self, gaps: Sequence[Event], read_at: float, /) -> Repaired:
        """Return the recovered events of the records that can be read now: see `Repairs`."""
        if not (gaps or self._open or self._unreadable):
            return _NOTHING
        records, self._unreadable = self._unreadable, []
        new: dict[str, ContinuityRecord] = {}
        for event, hole in zip(gaps, holes_of(gaps, self.channel, read_at), strict=True):
            kept = gap_to_json(event) if hole.cause is HoleCause.GAP_EVENT else None
            if kept is not None and sum(map(len, self._open.values())) < _MOST_OPEN:
                new[hole.id] = replace(hole, state=Repair.OPEN, progress=kept)
                self._wait(_Gap(event=gap_from_json(kept), hole=new[hole.id]))
            else:
                records.append(hole)
        events: list[Event] = []
        ended: dict[str, ContinuityRecord] = {}
        for entity, waiting in self._open.items():
            left = _MOST_AT_ONCE - len(ended)
            await self._read(entity, list(islice(waiting.values(), left)), events, ended)
            for hole_id in ended.keys() & waiting.keys():
                del waiting[hole_id]
        self._open = {entity: waiting for entity, waiting in self._open.items() if waiting}
        for hole_id in ended.keys() & new.keys():
            # The log has no former state of it.
            ended[hole_id] = replace(ended[hole_id], updated_at=None)
        return Repaired(events=events, records=[*records, *({**new, **ended}.values())])

    def _wait(self, gap: _Gap) -> None:
        self._open.setdefault(gap.event.data["entity"], {})[gap.hole.id] = gap

    async def _read(
        self, entity: str, gaps: Sequence[_Gap], events: list[Event], ended: dict[str, ContinuityRecord]
    ) -> None:
        """Add the recovered events of `gaps` and the last states of their holes, as far as both are known."""
        for part in _parts(gaps):
            shape = await self._shape(entity)
            if shape is None:
                return
            ids = list(dict.fromkeys(gap.event.data["record_id"] for gap in part))
            request = partial(self.rereading.records.read, entity, ids, shape.select)
            rows = await self.rereading.asked(entity, request)
            if rows is None:
                # It can be a field that is gone.
                self._shapes.pop(entity, None)
                return
            for gap in part:
                row = rows.get(gap.event.data["record_id"])
                try:
                    record = None if row is None else shape.record(row)
                    events.append(recovered_event(gap.event, record, read_at=self.clock.now()))
                except Exception as error:  # noqa: BLE001 - whatever a row does, it costs only itself
                    reason = str(error) if isinstance(error, UnreadableEvent) else type(error).__name__
                    ended[gap.hole.id] = self._ended(gap.hole, Repair.NONE, f"{gap.hole.detail}: {reason}")
                else:
                    whole = self._ended(gap.hole, Repair.FULL, gap.hole.detail)
                    ended[gap.hole.id] = replace(whole, found=int(record is not None), published=1)
            _log.info("gaps.repaired", channel=str(self.channel), entity=entity, records=len(part))

    async def _shape(self, entity: str) -> RecordShape | None:
        known_at, shape = self._shapes.get(entity, (0.0, None))
        now = self.clock.monotonic()
        if shape is None or now - known_at > _SHAPE_S:
            describe = await self.rereading.asked(entity, partial(self.describer.describe, entity))
            if describe is None:
                return None
            shape = RecordShape.of(describe)
            self._shapes[entity] = now, shape
        return shape

    def _ended(self, hole: ContinuityRecord, state: Repair, detail: str) -> ContinuityRecord:
        return replace(hole, state=state, detail=detail, progress={}, updated_at=self.clock.now())


def _parts(gaps: Sequence[_Gap]) -> Iterator[Sequence[_Gap]]:
    for begin in range(0, len(gaps), _AT_ONCE):
        yield gaps[begin : begin + _AT_ONCE]
