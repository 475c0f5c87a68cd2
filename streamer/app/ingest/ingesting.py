"""Ingest side of a daemon: reads Salesforce."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial

import structlog

from streamer.app.assembly import Log
from streamer.app.ingest.orders import PositionOrders, RedriveOrders, SnapshotOrders
from streamer.app.ingest.repairing import Reconciling, Repairing, RepairOrders, carried_entities, readers_of
from streamer.app.ingest.tracing import TracedIngest
from streamer.app.observers import WatchedIngest, Watcher
from streamer.backoff import Backoff, Delays
from streamer.channel_paths import ChannelKind
from streamer.clock import Clock
from streamer.continuity import SnapshotForecaster
from streamer.continuity.reconciling import ReconcileSchedule
from streamer.errors import LogUnavailable, SalesforceUnavailable
from streamer.events import Channel, OrgId
from streamer.ingest.channel_supervisor import ChannelSupervisor
from streamer.ingest.positions import Positioning
from streamer.ingest.positions.checkpoints import configured_start
from streamer.ingest.reading import MessageReader
from streamer.ingest.reading.large_texts import LargeTexts, TextCache
from streamer.ingest.reading.message_reader import ChannelProtection, Protection
from streamer.ingest.reading.quarantine import Quarantine
from streamer.ingest.reading.rereading import Rereading
from streamer.ingest.relay import ChannelLog, Ingest, IngestObserver
from streamer.ingest.repairs import check_org
from streamer.normalise import normaliser_for
from streamer.observe.metrics import Metrics
from streamer.ports import EventLog, PayloadReader, Source, Tracer
from streamer.quota import JobAllowance, LimitsMonitor, ReplayAllowance
from streamer.salesforce.auth.flows import Logins
from streamer.salesforce.auth.tokens import Tokens
from streamer.salesforce.outbound.endpoint import Endpoint, serving_outbound
from streamer.salesforce.outbound.recent import NotificationLog
from streamer.salesforce.outbound.source import OutboundSource
from streamer.salesforce.rest import Rest
from streamer.salesforce.transports import opened
from streamer.settings import (
    OUTBOUND_ROOT,
    ChannelSettings,
    LargeText,
    Settings,
    Transport,
)
from streamer.supervision.status import Status

_log = structlog.get_logger()


_BACKOFF = Backoff(first_s=1.0, limit_s=30.0)
_FOLLOWED_WITHIN_S = 10.0
_RECORDS_BYTES = 16 * 1024 * 1024
# Nothing of them but the path can be set.
_OF_OUTBOUND = ChannelSettings.model_construct(path=OUTBOUND_ROOT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingesting:
    """Carries the channels that this process owns into the log.

    Snapshots can be forecast inside the context `forecasting`.
    """

    settings: Settings
    logins: Logins
    clock: Clock
    metrics: Metrics
    status: Status
    protection: Protection = field(default_factory=Protection)
    watcher: Watcher | None
    tracer: Tracer | None = None
    forecasting: Callable[[SnapshotForecaster], AbstractContextManager[None]] = lambda _: nullcontext()

    async def run(self, log: Log) -> None:
        """Log in, and read until cancelled. Raises a `Stop` when an operator must act."""
        settings = self.settings
        await self.status.followed(self.clock, within_s=_FOLLOWED_WITHIN_S)
        outbound = OutboundSource(self.clock, self.metrics.outbound)
        # Before the login, so that an address that can't be used is told at once.
        async with self._receiving(outbound), self.logins.opened(settings.org) as (tokens, http):
            org = await self._authenticated(tokens)
            # With org.id, the log's checkpoints decide nothing.
            known = await self._known_orgs(log) if settings.org.id is None else ()
            check_org(org, expected=settings.org.id, known=known)
            self.status.logged_in()
            channels = {Channel(org=org, path=each.path): each for each in settings.channels}
            version = settings.org.api_version
            rest = Rest(http, tokens, self.clock, api_version=version, answer_bytes=_RECORDS_BYTES)
            limits = LimitsMonitor(read=rest.limits, clock=self.clock, observer=self.metrics.org_limits)
            async with (
                opened(settings, tokens, self.clock, self.metrics.session, outbound=outbound) as source,
                _running(limits),
            ):
                repairing = self._repairing(rest, log, limits, source.payloads)
                positions = PositionOrders(controls=log.controls, log=log, clock=self.clock)

                def ingest(channel: Channel) -> Ingest:
                    if channel in channels:
                        made = self._ingest(channel, source, log, channels[channel], repairing)
                        made.admission = self._admission(channel, channels[channel], limits)
                        made.positioning.orders = positions.of(channel)
                        return made
                    recent = outbound.recent(channel)
                    kept = NotificationLog(log=log, recent=recent, clock=self.clock)
                    return self._ingest(channel, source, kept, _OF_OUTBOUND)

                def release(channel: Channel) -> None:
                    positions.unsubscribe(channel)
                    repairing.orders.unsubscribe(channel)

                paths = [Channel(org=org, path=path) for path in settings.paths]
                supervisor = ChannelSupervisor(
                    ownership=log, channels=paths, ingest=ingest, clock=self.clock, released=release
                )
                positions.retry_now = supervisor.retry_now
                self.status.channels_opened(supervisor, source)
                compared = self._comparisons(org, rest, log, limits, supervisor)
                with self.forecasting(repairing.forecaster):
                    await self._keep(supervisor, repairing, positions, compared)

    async def _keep(
        self,
        supervisor: ChannelSupervisor,
        repairing: Repairing,
        positions: PositionOrders,
        compared: ReconcileSchedule | None,
    ) -> None:
        async with asyncio.TaskGroup() as group:
            following = [
                group.create_task(repairing.orders.run(), name="orders"),
                group.create_task(positions.run(), name="positions"),
            ]
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
            observer=self.metrics.reconciling,
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
            orders=RepairOrders(
                snapshots=SnapshotOrders(controls=log.controls, clock=self.clock),
                redrives=RedriveOrders(controls=log.controls, clock=self.clock),
            ),
            payloads=payloads,
            allowance=JobAllowance(limits=lambda: limits.latest, renew_limits=limits.renew),
        )

    def _ingest(
        self,
        channel: Channel,
        source: Source,
        log: EventLog,
        rules: ChannelSettings,
        repairing: Repairing | None = None,
    ) -> Ingest:
        protection = ChannelProtection(protection=self.protection, channel=channel, key=rules.key)
        normalise = normaliser_for(channel, key=rules.key)
        rereading = repairs = None
        if repairing is not None:
            decoder = repairing.decoder(channel, normalise, protection.unsealed)
            if ChannelKind.of(channel.path) is ChannelKind.CHANGES:
                # All reads for one channel share its time and its pauses.
                rereading = Rereading(channel=channel, records=repairing.org.records, clock=self.clock)
                is_repaired = rules.on_gap_event == "repair"
                repairs = repairing.of(channel, rereading, repairs_gaps=is_repaired, decoder=decoder)
            else:
                repairs = repairing.redriving(channel, decoder)
        return Ingest(
            source=source,
            log=ChannelLog(channel=channel, log=log, clock=self.clock, observer=self._observer(channel)),
            messages=MessageReader(
                channel=channel,
                normalise=normalise,
                quarantine=Quarantine(clock=self.clock),
                large_texts=self._large_texts(channel, rules, rereading, protection.hides),
                protection=protection,
            ),
            positioning=Positioning(
                channel=channel,
                clock=self.clock,
                start=configured_start(rules.start),
                on_refused=rules.on_refused_replay_id,
            ),
            repairs=repairs,
        )

    @asynccontextmanager
    async def _receiving(self, source: OutboundSource) -> AsyncIterator[None]:
        """Serve the endpoint for outbound messages inside the context, if one is configured."""
        settings = self.settings.outbound
        if settings is None:
            yield
            return
        endpoint = Endpoint(
            settings=settings, source=source, clock=self.clock, observer=self.metrics.outbound
        )
        async with serving_outbound(endpoint):
            yield

    async def _authenticated(self, tokens: Tokens) -> OrgId:
        delays = Delays(_BACKOFF)
        while True:
            try:
                return (await tokens.token()).org
            except SalesforceUnavailable as error:
                pause_s = delays.next_s()
                self.status.login_failed(str(error))
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

    def _large_texts(
        self,
        channel: Channel,
        rules: ChannelSettings,
        rereading: Rereading | None,
        hides: Callable[[str, str], bool],
    ) -> LargeTexts | None:
        if rereading is None or rules.large_text is LargeText.MARK:
            return None
        return LargeTexts(
            cache=TextCache(rules.large_text_cache_bytes),
            clock=self.clock,
            observer=self.metrics.channel(channel),
            rereading=rereading if rules.large_text is LargeText.REREAD else None,
            hides=hides,
        )

    def _admission(
        self, channel: Channel, rules: ChannelSettings, limits: LimitsMonitor
    ) -> ReplayAllowance | None:
        if rules.replay_retained == "always":
            return None
        is_on_cometd = self.settings.transport_of(rules) is Transport.COMETD
        return ReplayAllowance(channel=channel, limits=limits, is_on_cometd=is_on_cometd)

    def _observer(self, channel: Channel) -> IngestObserver:
        metrics = self.metrics.channel(channel)
        watched = WatchedIngest(metrics=metrics, watcher=self.watcher) if self.watcher else metrics
        if self.tracer is None:
            return watched
        return TracedIngest(observer=watched, tracer=self.tracer, clock=self.clock)


@asynccontextmanager
async def _running(limits: LimitsMonitor) -> AsyncIterator[None]:
    """Read the org's limits inside the context."""
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(limits.run(), name="limits")
        try:
            yield
        finally:
            reading.cancel()
