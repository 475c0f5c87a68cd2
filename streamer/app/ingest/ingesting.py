"""Ingest side of a daemon: reads Salesforce under the current plan."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial

import structlog

from streamer.app.assembly import Log
from streamer.app.ingest.channels import ChannelIngests
from streamer.app.ingest.orders import OperatorOrders
from streamer.app.ingest.repairing import Reconciling, Repairing, carried_entities, readers_of
from streamer.app.observers import Observers
from streamer.app.reloading import PlanInEffect
from streamer.backoff import Backoff, Delays
from streamer.clock import Clock
from streamer.continuity import SnapshotForecaster
from streamer.continuity.reconciling import ReconcileSchedule
from streamer.errors import LogUnavailable, SalesforceUnavailable, Stop, leaves
from streamer.events import Channel, OrgId
from streamer.ingest.channel_supervisor import ChannelSupervisor
from streamer.ingest.reading.message_reader import Protection
from streamer.ingest.repairs import check_org
from streamer.ports import PayloadReader
from streamer.quota import JobAllowance, LimitsMonitor
from streamer.salesforce.auth.flows import Logins
from streamer.salesforce.auth.tokens import AccessToken, Tokens
from streamer.salesforce.outbound.source import OutboundSource
from streamer.salesforce.rest import Rest
from streamer.salesforce.transports import opened
from streamer.settings import (
    Settings,
)
from streamer.supervision.status import Status

_log = structlog.get_logger()


_BACKOFF = Backoff(first_s=1.0, limit_s=30.0)
_FOLLOWED_WITHIN_S = 10.0
_RECORDS_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingesting:
    """Carries the channels that this process owns into the log.

    Inside the context `forecasting`, the admin API can forecast snapshots.
    """

    settings: Settings
    logins: Logins
    clock: Clock
    observers: Observers
    status: Status
    protection: Protection = field(default_factory=Protection)
    forecasting: Callable[[SnapshotForecaster], AbstractContextManager[None]] = lambda _: nullcontext()

    async def run(self, log: Log) -> None:
        """Log in, and read until cancelled. Raises a `Stop` when an operator must act."""
        settings, metrics = self.settings, self.observers.metrics
        await self.status.subscribers.followed(self.clock, within_s=_FOLLOWED_WITHIN_S)
        outbound = OutboundSource(self.clock, metrics.outbound)
        # The endpoint opens before the login, so that an unusable address is reported at once.
        async with self._receiving(outbound), self.logins.opened(settings.org) as (tokens, http):
            token = await self._authenticated(tokens)
            org = token.org
            # If org.id is set, the login is compared with org.id and not with the orgs in the
            # log.
            known = await self._known_orgs(log) if settings.org.id is None else ()
            check_org(org, expected=settings.org.id, known=known)
            self.status.reading.logged_in(token.instance_url)
            version = settings.org.api_version
            rest = Rest(http, tokens, self.clock, api_version=version, answer_bytes=_RECORDS_BYTES)
            limits = LimitsMonitor(read=rest.limits, clock=self.clock, observer=metrics.org_limits)
            async with (
                opened(settings, tokens, self.clock, metrics.session, outbound=outbound) as source,
                _running(limits),
            ):
                repairing = self._repairing(rest, log, limits, source.payloads)
                ingests = ChannelIngests(
                    settings=settings,
                    observers=self.observers,
                    protection=self.protection,
                    source=source,
                    outbound=outbound,
                    log=log,
                    repairing=repairing,
                    limits=limits,
                )
                supervisor = ChannelSupervisor(
                    ownership=log,
                    channels=[Channel(org=org, path=path) for path in settings.paths],
                    ingest=ingests.of,
                    clock=self.clock,
                    released=repairing.orders.unsubscribe,
                )
                self.status.reading.channels_opened(supervisor, source)
                compared = self._comparisons(org, rest, log, limits, supervisor)
                with self.forecasting(repairing.forecaster), log.described_by(repairing.org.describer):
                    await self._keep(supervisor, repairing.orders, compared)

    async def _keep(
        self, supervisor: ChannelSupervisor, orders: OperatorOrders, compared: ReconcileSchedule | None
    ) -> None:
        async with asyncio.TaskGroup() as group:
            following = [group.create_task(orders.run(supervisor.retry_now), name="orders")]
            if compared is not None:
                following.append(group.create_task(compared.run(), name="comparisons"))
            await supervisor.run()
            for each in following:
                each.cancel()

    def _comparisons(
        self, org: OrgId, rest: Rest, log: Log, limits: LimitsMonitor, supervisor: ChannelSupervisor
    ) -> ReconcileSchedule | None:
        if self.settings.reconcile is None:
            return None
        reconciling = Reconciling(
            org=org,
            rest=rest,
            log=log,
            clock=self.clock,
            paths=self.settings.paths,
            limits=lambda: limits.latest,
            observer=self.observers.metrics.reconciling,
        )
        return reconciling.schedule(self.settings.reconcile, lambda: supervisor.status)

    def _repairing(
        self, rest: Rest, log: Log, limits: LimitsMonitor, payloads: PayloadReader | None
    ) -> Repairing:
        return Repairing(
            org=readers_of(rest, self.clock),
            entities=partial(carried_entities, rest),
            clock=self.clock,
            log=log,
            orders=OperatorOrders.of(log.controls, log, self.clock),
            payloads=payloads,
            allowance=JobAllowance(limits=lambda: limits.latest, renew_limits=limits.renew),
        )

    @asynccontextmanager
    async def _receiving(self, source: OutboundSource) -> AsyncIterator[None]:
        """Serve the endpoint for outbound messages inside the context, if one is configured."""
        settings = self.settings.outbound
        if settings is None:
            yield
            return
        # Only a daemon with outbound messages needs a parser of XML.
        from streamer.salesforce.outbound.endpoint import (  # noqa: PLC0415 - see above
            Endpoint,
            serving_outbound,
        )

        endpoint = Endpoint(
            settings=settings, source=source, clock=self.clock, observer=self.observers.metrics.outbound
        )
        async with serving_outbound(endpoint):
            yield

    async def _authenticated(self, tokens: Tokens) -> AccessToken:
        delays = Delays(_BACKOFF)
        while True:
            try:
                return await tokens.token()
            except SalesforceUnavailable as error:
                pause_s = delays.next_s()
                self.status.reading.login_failed(str(error))
                _log.warning("salesforce.unavailable", reason=str(error), tried_again_in_s=pause_s)
                await self.clock.sleep(pause_s)

    async def _known_orgs(self, log: Log) -> frozenset[OrgId]:
        delays = Delays(_BACKOFF)
        while True:
            try:
                return await log.known_orgs()
            except LogUnavailable as error:
                pause_s = delays.next_s()
                _log.warning("log.unavailable", reason=str(error), tried_again_in_s=pause_s)
                await self.clock.sleep(pause_s)


@asynccontextmanager
async def _running(limits: LimitsMonitor) -> AsyncIterator[None]:
    """Read the org's limits inside the context."""
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(limits.run(), name="limits")
        try:
            yield
        finally:
            reading.cancel()


@dataclass(frozen=True, slots=True, kw_only=True)
class SalesforceReading:
    """Reads Salesforce; starts again from the checkpoints when the configured org or channels change.

    Inside the context `forecasting`, the admin API can forecast snapshots.
    """

    in_effect: PlanInEffect
    clock: Clock
    observers: Observers
    status: Status
    forecasting: Callable[[SnapshotForecaster], AbstractContextManager[None]]

    async def run(self, log: Log) -> None:
        """Read until cancelled.

        If Salesforce refuses the login of a new configuration, the previous org and
        channels are used again, once. Raises a `Stop` when an operator must act.
        """
        former: Settings | None = None
        while True:
            self.in_effect.source_replaced.clear()
            current = self.in_effect.settings
            try:
                async with asyncio.TaskGroup() as group:
                    reading = group.create_task(self._ingesting().run(log), name="read Salesforce")
                    await self.in_effect.source_replaced.wait()
                    reading.cancel()
            except* Stop as stop:
                if former is None or not self.status.reading.login_wait:
                    raise
                self._return_to(former, "; ".join(map(str, leaves(stop))))
                former = None
            else:
                former = current
            for path in set(current.paths) - set(self.in_effect.settings.paths):
                self.observers.metrics.forget_channel(path)

    def _return_to(self, former: Settings, reason: str) -> None:
        """Restore the org and the channels of `former`, because Salesforce refused the new ones."""
        _log.error("configuration.refused", reason=reason, in_effect="the previous org and channels")
        self.observers.metrics.process.configuration_refused()
        self.in_effect.return_to(former)

    def _ingesting(self) -> Ingesting:
        self.status.reading.started()
        return Ingesting(
            settings=self.in_effect.settings,
            logins=self.in_effect.plan.logins,
            clock=self.clock,
            observers=self.observers,
            status=self.status,
            protection=self.in_effect.protection,
            forecasting=self.forecasting,
        )
