"""Repairs of a channel, over the REST API of its org."""

from collections.abc import Sequence
from dataclasses import dataclass

from streamer.channel_paths import changed_entity
from streamer.clock import Clock
from streamer.continuity import ChannelRepairs, EntityReader, GapRepair, Readings
from streamer.events import Channel
from streamer.ingest.rereading import Rereading
from streamer.salesforce.queries import RestQueries, RestReplication
from streamer.salesforce.records import RestRecords
from streamer.salesforce.rest import Rest
from streamer.salesforce.tooling.client import Tooling


@dataclass(frozen=True, slots=True, kw_only=True)
class Repairing:
    """Makes the repairs of an org's channels."""

    rest: Rest
    records: RestRecords
    api_version: str
    clock: Clock

    def of(self, channel: Channel, rereading: Rereading) -> ChannelRepairs:
        """Return the repairs of `channel`; those of its gap events share the time of `rereading`."""
        reader = EntityReader(
            channel=channel,
            queries=RestQueries(self.rest, self.clock),
            replication=RestReplication(self.rest, self.clock),
            records=self.records,
            describer=self.records,
            entities=lambda: self._entities(channel),
            clock=self.clock,
        )
        return ChannelRepairs(
            gaps=GapRepair(channel=channel, rereading=rereading, describer=self.records, clock=self.clock),
            readings=Readings(reader=reader, clock=self.clock),
        )

    async def _entities(self, channel: Channel) -> Sequence[str]:
        if entity := changed_entity(channel.path):
            return [entity]
        setup = await Tooling(self.rest, api_version=self.api_version).setup()
        return sorted(setup.carried(channel.path))
