"""Assembles the repairs of an org's channels, and the comparisons of the org with the log."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from streamer.app.assembly import Log
from streamer.app.ingest.orders import OperatorOrders
from streamer.channel_paths import ALL_CHANGES, carrier_of, change_channel, changed_entity
from streamer.clock import Clock
from streamer.continuity import (
    ChannelRepairs,
    EntityReader,
    GapRepair,
    LetterDecoder,
    LetterRedrives,
    Readings,
    SnapshotForecaster,
    Snapshots,
)
from streamer.continuity.entity_reader import OrgReaders, ReadingSizes
from streamer.continuity.reconciling import (
    Asked,
    Reconciled,
    ReconcileObserver,
    ReconcileSchedule,
    Reconciliation,
)
from streamer.continuity.reconciling.org_records import OrgRecords
from streamer.events import Channel, DeadLetter, OrgId
from streamer.ingest.reading.rereading import Rereading
from streamer.normalise import Normaliser
from streamer.ports import ControlledLog, PayloadReader, RecordedHoles
from streamer.quota import Governor, JobAllowance, JobCost, LimitsReading
from streamer.salesforce.queries import RestQueries, RestReplication
from streamer.salesforce.records import RestRecords
from streamer.salesforce.rest import Rest
from streamer.salesforce.tooling.client import Tooling
from streamer.settings import ReconcileSettings


class RepairedLog(RecordedHoles, ControlledLog, Protocol):
    """Log with the ports that repairs need."""


def readers_of(rest: Rest, clock: Clock) -> OrgReaders:
    """Return the readers of the org's entities, over `rest`."""
    records = RestRecords(rest)
    return OrgReaders(
        queries=RestQueries(rest, clock),
        replication=RestReplication(rest, clock),
        records=records,
        describer=records,
    )


async def carried_entities(rest: Rest, channel: Channel) -> Sequence[str]:
    """Return the entities whose changes `channel` carries. Raises the errors of `Tooling`."""
    if entity := changed_entity(channel.path):
        return [entity]
    setup = await Tooling(rest, api_version=rest.api_version).setup()
    return sorted(setup.carried(channel.path))


@dataclass(frozen=True, slots=True, kw_only=True)
class Repairing:
    """Creates the repairs of an org's channels; `EntityReader` explains `allowance` and `sizes`.

    `entities` returns the entities whose changes a channel carries.
    """

    org: OrgReaders
    entities: Callable[[Channel], Awaitable[Sequence[str]]]
    clock: Clock
    log: RepairedLog
    orders: OperatorOrders
    payloads: PayloadReader | None = None
    allowance: JobAllowance = field(default_factory=JobAllowance)
    sizes: ReadingSizes = field(default_factory=ReadingSizes)

    def decoder(
        self, channel: Channel, normalise: Normaliser, unsealed: Callable[[DeadLetter], bytes]
    ) -> LetterDecoder:
        """Return the `LetterDecoder` for a channel's dead letters."""
        return LetterDecoder(
            channel=channel,
            normalise=normalise,
            unsealed=unsealed,
            clock=self.clock,
            payloads=self.payloads,
        )

    def redriving(self, channel: Channel, decoder: LetterDecoder) -> ChannelRepairs:
        """Return the repairs of a channel without records, which only redrive dead letters."""
        return ChannelRepairs(
            channel=channel,
            gaps=None,
            readings=None,
            redrives=self._redrives(channel, decoder),
        )

    def of(
        self,
        channel: Channel,
        rereading: Rereading,
        *,
        repairs_gaps: bool,
        decoder: LetterDecoder | None = None,
    ) -> ChannelRepairs:
        """Return the repairs of a channel of changes.

        Repairs of gap events share the limits of `rereading`. Without `decoder`,
        dead letters are not redriven.
        """
        reader = EntityReader(
            channel=channel,
            org=self.org,
            entities=partial(self.entities, channel),
            clock=self.clock,
            allowance=self.allowance,
            sizes=self.sizes,
        )
        gaps = GapRepair(channel=channel, rereading=rereading, describer=self.org.describer, clock=self.clock)
        ordered = Snapshots(channel=channel, log=self.log, ended=self.orders.snapshots.end)
        repairs = ChannelRepairs(
            channel=channel,
            gaps=gaps if repairs_gaps else None,
            readings=Readings(reader=reader, snapshots=ordered, clock=self.clock),
            redrives=self._redrives(channel, decoder),
        )
        self.orders.snapshots.subscribe(channel, repairs.follow)
        return repairs

    def _redrives(self, channel: Channel, decoder: LetterDecoder | None) -> LetterRedrives | None:
        orders = self.orders.redrives
        if orders is None or decoder is None:
            return None
        redrives = LetterRedrives(
            controls=self.log.controls,
            decoder=decoder,
            clock=self.clock,
            ended=orders.end,
        )
        orders.subscribe(channel, redrives.follow)
        return redrives

    @property
    def forecaster(self) -> SnapshotForecaster:
        """Forecaster of a snapshot's cost."""
        return SnapshotForecaster(
            queries=self.org.queries,
            describer=self.org.describer,
            limits=self.allowance.limits,
            bulk_from=self.sizes.bulk_from,
            page_rows=self.sizes.page_rows,
        )


_LOW_PAUSE_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciling:
    """Creates the comparisons of one org, within the share of requests and jobs for repairs."""

    org: OrgId
    rest: Rest
    log: Log
    clock: Clock
    paths: Sequence[str]
    limits: Callable[[], LimitsReading | None]
    observer: ReconcileObserver

    def schedule(
        self, settings: ReconcileSettings, owned: Callable[[], Mapping[Channel, object]]
    ) -> ReconcileSchedule:
        """Return the schedule from `settings`; `owned` returns the channels of this process."""

        def owns(entity: str) -> bool:
            path = carrier_of(entity, self.paths)
            return path is not None and Channel(org=self.org, path=path) in owned()

        reconciliation = self._reconciliation()

        async def compare(entity: str, since: float) -> Reconciled:
            asked = Asked(entity=entity, since=since, channel=self._custom(entity))
            return await reconciliation.compare(asked)

        return ReconcileSchedule(
            entities=settings.entities,
            every_s=settings.every_s,
            compare=compare,
            owns=owns,
            controls=self.log.controls,
            clock=self.clock,
            observer=self.observer,
        )

    def _reconciliation(self) -> Reconciliation:
        org = readers_of(self.rest, self.clock)
        return Reconciliation(
            history=self.log.history,
            records=OrgRecords(
                queries=org.queries,
                replication=org.replication,
                records=org.records,
                describer=org.describer,
                clock=self.clock,
                admit=self._admit,
            ),
            org=self.org,
        )

    def _custom(self, entity: str) -> str | None:
        """Return the configured custom channel that carries `entity` in the org, or `None`."""
        path = carrier_of(entity, self.paths)
        return None if path in {change_channel(entity), ALL_CHANGES} else path

    async def _admit(self, cost: JobCost) -> None:
        """Wait until calls with this `cost` would leave enough of the org's limits to other clients."""
        governor = Governor(reading=self.limits, requests_left=lambda: self.rest.requests_left)
        while governor.reason_to_wait(cost):
            await self.clock.sleep(_LOW_PAUSE_S)
