"""All repairs of one channel: those of its gap events, and the readings of whole entities."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from streamer.continuity.gaps import GapRepair
from streamer.continuity.readings import Readings
from streamer.controls import SnapshotOrder
from streamer.events import Channel, ContinuityRecord, Event, Repair, ReplayId
from streamer.ingest.holes import holes_of
from streamer.ingest.repairs import Repaired


@dataclass(slots=True, kw_only=True)
class ChannelRepairs:
    """The repairs of one channel: see `streamer.ingest.repairs.Repairs`.

    Without `gaps`, gap events, overflows and changes of all records are recorded
    alone.
    """

    channel: Channel
    gaps: GapRepair | None
    readings: Readings

    @property
    def has_work(self) -> bool:
        """True while an entity is to be read; gap events are repaired with the answers."""
        return self.readings.has_work

    def resume(self, holes: Sequence[ContinuityRecord], wake: Callable[[], None], /) -> None:
        """Go on with the open `holes`: see `Repairs`."""
        if self.gaps is not None:
            self.gaps.resume(holes)
        self.readings.resume(holes, wake)

    def follow(self, orders: Mapping[str, SnapshotOrder], /) -> None:
        """Carry out the orders of snapshots in this channel: see `Readings.follow`."""
        self.readings.follow(orders)

    def found(self, hole: ContinuityRecord, /) -> ContinuityRecord:
        """Return the state of a new hole: see `Repairs`."""
        return self.readings.adopted(hole)

    async def repaired(self, gaps: Sequence[Event], read_at: float, /) -> Repaired:
        """Return what can be repaired with an answer: see `Repairs`."""
        if self.gaps is None:
            return Repaired(records=holes_of(gaps, self.channel, read_at))
        repaired = await self.gaps.repaired(gaps, read_at)
        if not repaired.records:
            return repaired
        records = [self._state(record) for record in repaired.records]
        return Repaired(events=repaired.events, records=records)

    def taken(self, events: Sequence[Event], /) -> None:
        """Take note of what enters the log: see `Repairs`."""
        self.readings.taken(events)

    async def step(self, position: ReplayId, /) -> Repaired:
        """Return the next part of a reading: see `Repairs`."""
        return await self.readings.step(position)

    def _state(self, record: ContinuityRecord) -> ContinuityRecord:
        return self.readings.adopted(record) if record.is_new and record.state is Repair.NONE else record
