"""Ingest side of a daemon: reads Salesforce."""

from dataclasses import dataclass

import structlog

from streamer.app.log import Log
from streamer.app.watcher import WatchedIngest, Watcher
from streamer.backoff import Backoff, Delays
from streamer.clock import Clock
from streamer.errors import SalesforceUnavailable
from streamer.events import Channel, OrgId
from streamer.ingest.keeper import Keeper
from streamer.ingest.quarantine import Quarantine
from streamer.ingest.relay import Ingest, IngestObserver
from streamer.normalise import normaliser_for
from streamer.observe.metrics import Metrics
from streamer.salesforce.auth.logins import Logins
from streamer.salesforce.auth.tokens import Tokens
from streamer.salesforce.transports import opened
from streamer.settings import Settings
from streamer.supervision.status import Status

_log = structlog.get_logger()


_BACKOFF = Backoff(first_s=1.0, limit_s=30.0)
_FOLLOWED_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingesting:
    """Carries the channels that this process owns into the log."""

    settings: Settings
    logins: Logins
    clock: Clock
    metrics: Metrics
    status: Status
    watcher: Watcher | None

    async def run(self, log: Log) -> None:
        """Log in, and read until cancelled. Raises a `Stop` when an operator must act."""
        settings = self.settings
        await self.status.followed(self.clock, within_s=_FOLLOWED_WITHIN_S)
        async with self.logins.opened(settings.org) as (tokens, _):
            org = await self._authenticated(tokens)
            channels = {Channel(org=org, path=each.path): each for each in settings.channels}
            async with opened(settings, tokens, self.clock, self.metrics.session) as source:

                def ingest(channel: Channel) -> Ingest:
                    return Ingest(
                        channel=channel,
                        source=source,
                        log=log,
                        normalise=normaliser_for(channel, key=channels[channel].key),
                        quarantine=Quarantine(clock=self.clock),
                        clock=self.clock,
                        observer=self._observer(channel),
                        start=channels[channel].start,
                        on_refused=channels[channel].on_refused_replay_id,
                    )

                keeper = Keeper(ownership=log, channels=list(channels), ingest=ingest, clock=self.clock)
                self.status.channels_opened(keeper, source)
                await keeper.run()

    async def _authenticated(self, tokens: Tokens) -> OrgId:
        delays = Delays(_BACKOFF)
        while True:
            try:
                org = (await tokens.token()).org
            except SalesforceUnavailable as error:
                pause_s = delays.next_s()
                self.status.login_failed(str(error))
                _log.warning("salesforce.unavailable", reason=str(error), tried_again_in_s=pause_s)
                await self.clock.sleep(pause_s)
            else:
                self.status.logged_in()
                return org

    def _observer(self, channel: Channel) -> IngestObserver:
        metrics = self.metrics.channel(channel)
        return WatchedIngest(metrics=metrics, watcher=self.watcher) if self.watcher else metrics
