"""Repairs of a channel, over the REST API of its org."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from streamer.app.ingest.snapshots import SnapshotOrders
from streamer.channel_paths import changed_entity
from streamer.clock import Clock
from streamer.continuity import (
    BULK_FROM,
    PAGE_ROWS,
    ChannelRepairs,
    EntityReader,
    GapRepair,
    Readings,
    SnapshotForecaster,
    Snapshots,
)
from streamer.events import Channel
from streamer.ingest.rereading import Rereading
from streamer.ports import RecordedHoles
from streamer.quota import Reading
from streamer.salesforce.queries import RestQueries, RestReplication
from streamer.salesforce.records import RestRecords
from streamer.salesforce.rest import Rest
from streamer.salesforce.tooling.client import Tooling


@dataclass(frozen=True, slots=True, kw_only=True)
class Repairing:
    """Makes the repairs of an org's channels: see `EntityReader` for the limits and the two numbers."""

    rest: Rest
    records: RestRecords
    api_version: str
    clock: Clock
    log: RecordedHoles
    snapshots: SnapshotOrders
    limits: Callable[[], Reading | None] = lambda: None
    bulk_from: int = BULK_FROM
    page_rows: int = PAGE_ROWS

    def of(self, channel: Channel, rereading: Rereading, *, repairs_gaps: bool) -> ChannelRepairs:
        """Return the repairs of `channel`; those of its gap events share the time of `rereading`."""
        reader = EntityReader(
            channel=channel,
            queries=RestQueries(self.rest, self.clock),
            replication=RestReplication(self.rest, self.clock),
            records=self.records,
            describer=self.records,
            entities=lambda: self._entities(channel),
            clock=self.clock,
            limits=self.limits,
            bulk_from=self.bulk_from,
            page_rows=self.page_rows,
        )
        gaps = GapRepair(channel=channel, rereading=rereading, describer=self.records, clock=self.clock)
        ordered = Snapshots(channel=channel, log=self.log, ended=self.snapshots.end)
        repairs = ChannelRepairs(
            channel=channel,
            gaps=gaps if repairs_gaps else None,
            readings=Readings(reader=reader, snapshots=ordered, clock=self.clock),
        )
        self.snapshots.subscribe(channel, repairs.follow)
        return repairs

    @property
    def forecaster(self) -> SnapshotForecaster:
        """Forecaster of what a snapshot will cost."""
        return SnapshotForecaster(
            queries=RestQueries(self.rest, self.clock),
            describer=self.records,
            limits=self.limits,
            bulk_from=self.bulk_from,
            page_rows=self.page_rows,
        )

    async def _entities(self, channel: Channel) -> Sequence[str]:
        if entity := changed_entity(channel.path):
            return [entity]
        setup = await Tooling(self.rest, api_version=self.api_version).setup()
        return sorted(setup.carried(channel.path))
