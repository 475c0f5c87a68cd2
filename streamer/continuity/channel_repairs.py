"""All repairs of one channel: gap events, readings of whole entities, and redrives of dead letters."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf

import structlog

from streamer.continuity.gaps import GapRepair
from streamer.continuity.letter_redrives import LetterRedrives
from streamer.continuity.readings import Readings
from streamer.controls import SnapshotOrder
from streamer.events import Channel, ContinuityRecord, Event, Repair, ReplayId
from streamer.ingest.positions.holes import holes_of
from streamer.ingest.repairs import Repaired
from streamer.normalise.malformed import from_text

_log = structlog.get_logger()
_NOTHING = Repaired()


@dataclass(slots=True, kw_only=True)
class ChannelRepairs:
    """The repairs of one channel: see `streamer.ingest.repairs.Repairs`.

    Without `gaps`, the holes of gap events, overflows and changes of all records
    are recorded but not repaired. Without `readings`, only gap events are repaired.
    After a redrive, the records of the redriven changes are read again, because
    newer events of these records can already be in the log.
    """

    channel: Channel
    gaps: GapRepair | None
    readings: Readings | None
    redrives: LetterRedrives | None = None
    _reading_at: float = field(default=0.0, init=False)
    _redrive_at: float = field(default=0.0, init=False)
    _is_woken: bool = field(default=False, init=False)

    @property
    def has_work(self) -> bool:
        """True if an entity or a dead letter waits to be read.

        Gap events do not count: they are repaired with answers.
        """
        return self._reads or self._redrives

    @property
    def follows_changes(self) -> bool:
        """True if `taken` must be called for new events: see `Repairs`."""
        # This is called for every event, so do not call a part without open work.
        readings, gaps = self.readings, self.gaps
        return (readings is not None and bool(readings.open.holes) and readings.has_work) or (
            gaps is not None and bool(gaps.open) and gaps.follows_changes
        )

    @property
    def _reads(self) -> bool:
        return self.readings is not None and self.readings.has_work

    @property
    def _redrives(self) -> bool:
        return self.redrives is not None and self.redrives.has_work

    def resume(self, holes: Sequence[ContinuityRecord], wake: Callable[[], None], /) -> None:
        """Continue the repairs of the open `holes`: see `Repairs`."""
        if self.gaps is not None:
            self.gaps.resume(holes)
        if self.readings is not None:
            self.readings.resume(holes, partial(self._wake_readings, wake))
        if self.redrives is not None:
            self.redrives.resume(wake)

    def follow(self, orders: Mapping[str, SnapshotOrder], /) -> None:
        """Execute the orders for snapshots in this channel: see `Readings.follow`."""
        if self.readings is not None:
            self.readings.follow(orders)

    def found(self, hole: ContinuityRecord, /) -> ContinuityRecord:
        """Return the state of a new hole: see `Repairs`."""
        return hole if self.readings is None else self.readings.adopted(hole)

    async def repaired(self, gaps: Sequence[Event], read_at: float, /) -> Repaired:
        """Return the repairs for an answer: see `Repairs`."""
        if self.gaps is None:
            return Repaired(records=holes_of(gaps, self.channel, read_at)) if gaps else _NOTHING
        if not (gaps or self.gaps.open or self.gaps.unreadable):
            return _NOTHING
        repaired = await self.gaps.repaired(gaps, read_at)
        if not repaired.records:
            return repaired
        self._read_later(repaired.events)
        records = [self._state(record) for record in repaired.records]
        return Repaired(events=repaired.events, records=records)

    def taken(self, events: Sequence[Event], /) -> None:
        """Take note of events that enter the log: see `Repairs`."""
        self._read_later(events)
        if self.gaps is not None:
            self.gaps.taken(events)

    async def step(self, position: ReplayId, /) -> Repaired:
        """Return the next part of a reading or a redrive, whichever has waited longer: see `Repairs`."""
        repaired = await self._stepped(position)
        if self.gaps is not None:
            self.gaps.taken(repaired.events)
        return repaired

    async def _stepped(self, position: ReplayId) -> Repaired:
        redrives = self.redrives
        if redrives is None or not redrives.has_work:
            return await self._read(position)
        if self._reads and self._reading_at < self._redrive_at:
            repaired = await self._read(position)
        elif self._redrive_at <= redrives.clock.monotonic():
            repaired = await self._redriven(redrives)
        else:
            repaired = Repaired()
        at = min(self._redrive_at, self._reading_at if self._reads else inf)
        return replace(repaired, again_in_s=max(0.0, at - redrives.clock.monotonic()))

    def _read_later(self, events: Sequence[Event]) -> None:
        """Keep readings from appending earlier states of these records."""
        if self.readings is not None and self.readings.has_work:
            self.readings.taken(events)

    def _wake_readings(self, wake: Callable[[], None]) -> None:
        self._reading_at, self._is_woken = 0.0, True
        wake()

    async def _read(self, position: ReplayId) -> Repaired:
        if self.readings is None:
            return Repaired()
        if self.redrives is None:
            return await self.readings.step(position)
        clock = self.redrives.clock
        repaired = Repaired()
        if self._reading_at <= clock.monotonic():
            self._is_woken = False
            repaired = await self.readings.step(position)
            if not self._is_woken:
                self._reading_at = clock.monotonic() + repaired.again_in_s
        return replace(repaired, again_in_s=max(0.0, self._reading_at - clock.monotonic()))

    async def _redriven(self, redrives: LetterRedrives) -> Repaired:
        """Return the events of redriven dead letters, followed by the current state of their records."""
        repaired = await redrives.step()
        self._redrive_at = redrives.clock.monotonic() + repaired.again_in_s
        events = [*repaired.stored, *repaired.events]
        # An older row, already read, must not follow these events.
        self.taken(events)
        gaps = [each for each in events if each.is_gap]
        if self.gaps is not None:
            gaps += _as_gaps(events)
        if not gaps:
            return repaired
        more = await self.repaired(gaps, redrives.clock.now())
        if overtaken := sum(map(_has_changed_since, more.events)):
            _log.warning(
                "redrive.overtaken",
                channel=str(self.channel),
                records=overtaken,
                hint=(
                    "these records have changed after the redriven events, so Streamer also writes "
                    "the records' current state to the log"
                ),
            )
        return replace(repaired, events=[*repaired.events, *more.events], records=more.records)

    def _state(self, record: ContinuityRecord) -> ContinuityRecord:
        if self.readings is None or not record.is_new or record.state is not Repair.NONE:
            return record
        return self.readings.adopted(record)


def _has_changed_since(recovered: Event) -> bool:
    """Return true if the record was changed or deleted after the event for which it was read."""
    if recovered.is_deletion:
        return bool(recovered.data["recovered"]["reason"] != "GAP_DELETE")
    try:
        # A record's time has whole seconds.
        return from_text(recovered.data["fields"]["LastModifiedDate"])[:19] > recovered.time[:19]
    except (LookupError, TypeError, ValueError):
        return False


def _as_gaps(events: Sequence[Event]) -> list[Event]:
    """Return one gap event for each record that `events` change, made from the record's last event."""
    last = {each.data.get("record_id"): each for each in events if each.is_change and not each.is_gap}
    return [_as_gap(each) for each in last.values()]


def _as_gap(event: Event) -> Event:
    told = {name: event.data.get(name) for name in ("entity", "record_id", "transaction")}
    change = "GAP_DELETE" if event.is_deletion else "GAP_UPDATE"
    return replace(event, type=f"{event.type.rpartition('.')[0]}.gap", data={**told, "change": change})
