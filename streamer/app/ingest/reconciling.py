"""Comparisons of the org with the log beside ingest."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from streamer.app.log import Log
from streamer.channel_paths import ALL_CHANGES, carrier_of, change_channel
from streamer.clock import Clock
from streamer.continuity.reconciling import Asked, ReconcileObserver, ReconcileSchedule, Reconciliation
from streamer.continuity.reconciling.org_records import OrgRecords
from streamer.events import Channel, OrgId
from streamer.quota import Governor, JobCost, LimitsReading
from streamer.salesforce.queries import RestQueries, RestReplication
from streamer.salesforce.records import RestRecords
from streamer.salesforce.rest import Rest
from streamer.settings import ReconcileSettings

_LOW_PAUSE_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciling:
    """Makes the comparisons of one org, within the share of its requests and jobs that repairs can use."""

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
        """Return the schedule of `settings`; `owned` returns the channels of this process."""

        def owns(entity: str) -> bool:
            path = carrier_of(entity, self.paths)
            return path is not None and Channel(org=self.org, path=path) in owned()

        return ReconcileSchedule(
            entities=settings.entities,
            every_s=settings.every_s,
            compare=self._reconciliation().compare,
            asked=lambda entity, since: Asked(entity=entity, since=since, channel=self._custom(entity)),
            owns=owns,
            controls=self.log.controls,
            clock=self.clock,
            observer=self.observer,
        )

    def _reconciliation(self) -> Reconciliation:
        records = RestRecords(self.rest)
        queries = RestQueries(self.rest, self.clock)
        return Reconciliation(
            history=self.log.history,
            records=OrgRecords(
                queries=queries,
                replication=RestReplication(self.rest, self.clock),
                records=records,
                describer=records,
                clock=self.clock,
                admit=self._admit,
            ),
            org=self.org,
        )

    def _custom(self, entity: str) -> str | None:
        """Return the channel of `entity` if its path does not tell that it carries it."""
        path = carrier_of(entity, self.paths)
        return None if path in {change_channel(entity), ALL_CHANGES} else path

    async def _admit(self, cost: JobCost) -> None:
        """Wait until calls of `cost` leave enough to others."""
        governor = Governor(reading=self.limits, requests_left=lambda: self.rest.requests_left)
        while governor.reason_to_wait(cost):
            await self.clock.sleep(_LOW_PAUSE_S)
