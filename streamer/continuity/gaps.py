"""Repair of gap events: reads the records that gap events name, and publishes recovered events."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Any

import structlog

from streamer.clock import Clock
from streamer.continuity.steps import ChangedRecords
from streamer.errors import UnreadableEvent
from streamer.events import (
    Channel,
    ContinuityRecord,
    Event,
    EventId,
    HoleCause,
    JsonObject,
    Repair,
    replay_id_from_text,
    replay_id_to_text,
)
from streamer.ingest.positions.holes import holes_of
from streamer.ingest.reading.rereading import Rereading
from streamer.ingest.repairs import Repaired
from streamer.normalise.record_events import recovered_event
from streamer.normalise.record_shape import RecordShape
from streamer.ports import Describer

_GAP_TEXTS = ("id", "source", "type", "time", "key", "channel", "replay_id")
_GAP_NAMES = ("change", "entity", "record_id")
_GAP_KEY = "gap"
_RECORD_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?", re.ASCII)
# Salesforce's own texts are shorter. One record of the log must hold all these texts.
_LONGEST_TEXT = 300
_LARGEST_NUMBER = 2**53
_log = structlog.get_logger()


def gap_to_json(gap: Event) -> JsonObject | None:
    """Return a gap event as a small JSON object, or `None` if the event names no valid record.

    The object has no fields of the record. A gap event has no values of a user, and
    protection rules are not applied to the object.
    """
    data = gap.data
    texts = {name: getattr(gap, name) for name in _GAP_TEXTS} | {
        "replay_id": replay_id_to_text(gap.replay_id)
    }
    told: JsonObject = {name: data.get(name) for name in _GAP_NAMES}
    if not all(map(_is_small_text, (*texts.values(), *told.values()))):
        return None
    if not _RECORD_ID.fullmatch(told["record_id"]):
        return None
    if isinstance(transaction := data.get("transaction"), dict):
        told["transaction"] = {name: each if _is_small(each) else None for name, each in transaction.items()}
    return {_GAP_KEY: {**texts, "subject": told["record_id"], "data": told}}


def gap_from_json(progress: JsonObject) -> Event:
    """Return the gap event that `gap_to_json` wrote. Raises `ValueError`."""
    found = progress.get(_GAP_KEY)
    if not isinstance(found, dict) or not all(isinstance(found.get(name), str) for name in _GAP_TEXTS):
        raise ValueError("a field is missing")
    data = found.get("data")
    told = data if isinstance(data, dict) else {}
    if not all(isinstance(told.get(name), str) for name in _GAP_NAMES):
        raise ValueError("a member of data is missing")
    if not _RECORD_ID.fullmatch(told["record_id"]):
        raise ValueError("record_id is not a record id")
    texts = {name: found[name] for name in _GAP_TEXTS}
    known = {**texts, "id": EventId(found["id"]), "replay_id": replay_id_from_text(found["replay_id"])}
    gap = Event(**known, subject=told["record_id"], data=told)
    if not gap.is_gap:
        raise ValueError("the event is not a gap event")
    return gap


def _is_small_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST_TEXT and value.isprintable()


def _is_small(value: Any) -> bool:
    return _is_small_text(value) or value is None or (type(value) is int and abs(value) <= _LARGEST_NUMBER)


# This many complete records need some megabytes.
_AT_ONCE = 200
# These records are in memory together, and in one append.
_MOST_AT_ONCE = 1_000
_MOST_OPEN = 10_000
# After this time, an entity is described again, so that new fields are read too.
_SHAPE_S = 3600.0
_NOTHING = Repaired()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gap:
    event: Event
    hole: ContinuityRecord


@dataclass(slots=True, kw_only=True)
class _Read:
    """Request for records, and the answer's `rows`. For the records in `told`, the log has later changes."""

    ids: Sequence[str]
    shape: RecordShape
    asked_at: float
    rows: Mapping[str, JsonObject] | None = None
    told: ChangedRecords = field(default_factory=ChangedRecords)

    @property
    def current(self) -> list[str]:
        """Ids whose rows are the latest known states."""
        return [each for each in self.ids if each not in self.told]


@dataclass(slots=True, kw_only=True)
class GapRepair:
    """Reads the records of one channel's gap events, and publishes the values that the events lack.

    A gap event names a changed record without any of its values (CDC guide, gap
    events). If the record can't be read now, it is read later, even after a
    restart: until then, the hole's continuity record stays open and keeps the gap
    event in `progress`. A late answer is used with the channel's next answer,
    without the records that changed in the stream after the request. At most 10,000
    gap events wait, and further gap events are not repaired. One answer repairs at
    most 1,000 gap events.
    """

    channel: Channel
    rereading: Rereading
    describer: Describer
    clock: Clock
    open: dict[str, dict[str, _Gap]] = field(default_factory=dict, init=False)
    """Gap events that wait for their records, by entity and hole."""
    unreadable: list[ContinuityRecord] = field(default_factory=list, init=False)
    """Final states of holes whose gap event can't be read; these states are not in the log yet."""
    _shapes: dict[str, tuple[float, RecordShape]] = field(default_factory=dict, init=False)
    _reads: dict[str, _Read] = field(default_factory=dict, init=False)

    @property
    def follows_changes(self) -> bool:
        """True while a request is unanswered, because the stream can change its records meanwhile."""
        return bool(self._reads)

    def taken(self, events: Sequence[Event], /) -> None:
        """Take note of changes that enter the log, because a late answer is older than these changes."""
        for read in self._reads.values():
            read.told.add(event.data["record_id"] for event in events if "record_id" in event.data)

    def resume(self, holes: Sequence[ContinuityRecord], /) -> None:
        """Continue with the gap events that are open in the log: see `Repairs`."""
        for hole in holes:
            if hole.cause is not HoleCause.GAP_EVENT:
                continue
            try:
                self._wait(_Gap(event=gap_from_json(hole.progress), hole=hole))
            except ValueError as error:
                detail = (
                    f"{hole.detail}; not repaired, because the gap event in the log can't be read ({error})"
                )
                self.unreadable.append(self._ended(hole, Repair.NONE, detail))

    async def repaired(self, gaps: Sequence[Event], read_at: float, /) -> Repaired:
        """Return the recovered events of the records that can be read now: see `Repairs`."""
        records, self.unreadable = self.unreadable, []
        new: dict[str, ContinuityRecord] = {}
        for event, hole in zip(gaps, holes_of(gaps, self.channel, read_at), strict=True):
            kept = gap_to_json(event) if hole.cause is HoleCause.GAP_EVENT else None
            if kept is not None and sum(map(len, self.open.values())) < _MOST_OPEN:
                new[hole.id] = replace(hole, state=Repair.OPEN, progress=kept)
                self._wait(_Gap(event=gap_from_json(kept), hole=new[hole.id]))
            else:
                records.append(hole)
        events: list[Event] = []
        ended: dict[str, ContinuityRecord] = {}
        for entity, waiting in self.open.items():
            left = _MOST_AT_ONCE - len(ended)
            await self._read(entity, list(islice(waiting.values(), left)), events, ended)
            for hole_id in ended.keys() & waiting.keys():
                del waiting[hole_id]
        self.open = {entity: waiting for entity, waiting in self.open.items() if waiting}
        for hole_id in ended.keys() & new.keys():
            # The log has no earlier state of this hole.
            ended[hole_id] = replace(ended[hole_id], updated_at=None)
        return Repaired(events=events, records=[*records, *({**new, **ended}.values())])

    def _wait(self, gap: _Gap) -> None:
        self.open.setdefault(gap.event.data["entity"], {})[gap.hole.id] = gap

    async def _read(
        self, entity: str, gaps: Sequence[_Gap], events: list[Event], ended: dict[str, ContinuityRecord]
    ) -> None:
        """Add the recovered events of `gaps` to `events`, and the final states of their holes to `ended`."""
        for part in _parts(gaps):
            shape = await self._shape(entity)
            if shape is None:
                return
            ids = list(dict.fromkeys(gap.event.data["record_id"] for gap in part))
            read = await self._answered(entity, ids, shape)
            if read is None:
                return
            current = {*read.current}
            read_now = [gap for gap in part if gap.event.data["record_id"] in current]
            before = len(events)
            for gap in read_now:
                event, ended[gap.hole.id] = self._ended_by(read, gap)
                events += [] if event is None else [event]
            records = len(events) - before
            failed = len(read_now) - records
            _log.info(
                "gaps.repaired", channel=str(self.channel), entity=entity, records=records, failed=failed
            )

    def _ended_by(self, read: _Read, gap: _Gap) -> tuple[Event | None, ContinuityRecord]:
        """Return the recovered event of a gap event, or `None` for a bad row, and the hole's final state."""
        hole = gap.hole
        try:
            event = _recovered(gap.event, read)
        except UnreadableEvent as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001 - a bad row must not affect the other rows
            _log.exception("gap.not_repaired", channel=str(self.channel), entity=hole.entity, hole=hole.id)
            # The sentence of an unknown error can quote a value of the record.
            reason = type(error).__name__
        else:
            found = (read.rows or {}).get(gap.event.data["record_id"]) is not None
            whole = self._ended(hole, Repair.FULL, hole.detail)
            return event, replace(whole, found=int(found), published=1)
        return None, self._ended(hole, Repair.NONE, f"{hole.detail}: {reason}")

    async def _answered(self, entity: str, ids: Sequence[str], shape: RecordShape) -> _Read | None:
        """Return a late answer about any of the `ids`, or else a new answer, or `None` without an answer."""
        read = self._reads.get(entity)
        if read is None or (read.rows is not None and not {*read.current} & {*ids}):
            await self.rereading.asked(entity, partial(self._rows, entity, ids, shape))
            read = self._reads.get(entity)
        if read is None or read.rows is None:
            return None
        return self._reads.pop(entity)

    async def _rows(self, entity: str, ids: Sequence[str], shape: RecordShape) -> None:
        self._reads[entity] = read = _Read(ids=ids, shape=shape, asked_at=self.clock.now())
        try:
            read.rows = await self.rereading.records.read(entity, ids, shape.select)
        except Exception:
            self._reads.pop(entity, None)
            # The cause can be a removed field, so describe the entity again.
            self._shapes.pop(entity, None)
            raise

    async def _shape(self, entity: str) -> RecordShape | None:
        known_at, shape = self._shapes.get(entity, (0.0, None))
        if shape is None or self.clock.monotonic() - known_at > _SHAPE_S:
            await self.rereading.asked(entity, partial(self._described, entity))
            known_at, shape = self._shapes.get(entity, (0.0, None))
        return shape

    async def _described(self, entity: str) -> None:
        self._shapes.pop(entity, None)
        shape = RecordShape.of(await self.describer.describe(entity))
        self._shapes[entity] = self.clock.monotonic(), shape

    def _ended(self, hole: ContinuityRecord, state: Repair, detail: str) -> ContinuityRecord:
        return replace(hole, state=state, detail=detail, progress={}, updated_at=self.clock.now())


def _recovered(gap: Event, read: _Read) -> Event:
    row = (read.rows or {}).get(gap.data["record_id"])
    record = None if row is None else read.shape.record(row)
    return recovered_event(gap, record, read_at=read.asked_at)


def _parts(gaps: Sequence[_Gap]) -> Iterator[Sequence[_Gap]]:
    for begin in range(0, len(gaps), _AT_ONCE):
        yield gaps[begin : begin + _AT_ONCE]
