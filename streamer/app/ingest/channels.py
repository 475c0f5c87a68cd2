"""Assembles the ingest of each channel of one org."""

from collections.abc import Callable
from dataclasses import dataclass

from streamer.app.assembly import Log
from streamer.app.ingest.orders import PositionOrders
from streamer.app.ingest.repairing import Repairing
from streamer.app.observers import Observers
from streamer.channel_paths import ChannelKind
from streamer.events import Channel
from streamer.ingest.positions import Positioning
from streamer.ingest.positions.checkpoints import configured_start
from streamer.ingest.reading import MessageReader
from streamer.ingest.reading.large_texts import LargeTexts, TextCache
from streamer.ingest.reading.message_reader import ChannelProtection, Protection
from streamer.ingest.reading.quarantine import Quarantine
from streamer.ingest.reading.rereading import Rereading
from streamer.ingest.relay import ChannelLog, Ingest
from streamer.ingest.repairs import Repairs
from streamer.normalise import Normaliser, normaliser_for
from streamer.ports import EventLog, Source
from streamer.quota import LimitsMonitor, ReplayAllowance
from streamer.salesforce.outbound.recent import NotificationLog
from streamer.salesforce.outbound.source import OutboundSource
from streamer.settings import OUTBOUND_ROOT, ChannelSettings, LargeText, Settings, Transport

# Only the path of an outbound channel can be configured.
_OF_OUTBOUND = ChannelSettings.model_construct(path=OUTBOUND_ROOT)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelIngests:
    """Creates the ingest of each channel of one org.

    A channel without settings carries outbound messages, and has neither repairs
    nor positions.
    """

    settings: Settings
    observers: Observers
    protection: Protection
    source: Source
    outbound: OutboundSource
    log: Log
    repairing: Repairing
    limits: LimitsMonitor

    def of(self, channel: Channel) -> Ingest:
        """Return the ingest of `channel`, which follows operators' orders."""
        rules = next((each for each in self.settings.channels if each.path == channel.path), None)
        return self._of_outbound(channel) if rules is None else self._of_bus(channel, rules)

    def _of_outbound(self, channel: Channel) -> Ingest:
        protection = ChannelProtection(protection=self.protection, channel=channel, key=_OF_OUTBOUND.key)
        normalise = normaliser_for(channel, key=_OF_OUTBOUND.key)
        log = NotificationLog(log=self.log, recent=self.outbound.recent(channel), clock=self.repairing.clock)
        return Ingest(
            source=self.source,
            log=self._log(channel, log),
            messages=self._messages(channel, normalise, protection),
            positioning=self._positioning(channel, _OF_OUTBOUND),
        )

    def _of_bus(self, channel: Channel, rules: ChannelSettings) -> Ingest:
        protection = ChannelProtection(protection=self.protection, channel=channel, key=rules.key)
        normalise = normaliser_for(channel, key=rules.key)
        decoder = self.repairing.decoder(channel, normalise, protection.unsealed)
        large_texts: LargeTexts | None = None
        repairs: Repairs
        if ChannelKind.of(channel.path) is ChannelKind.CHANGES:
            # All reads for one channel share its limits and its pauses.
            records, clock = self.repairing.org.records, self.repairing.clock
            rereading = Rereading(channel=channel, records=records, clock=clock)
            is_repaired = rules.on_gap_event == "repair"
            repairs = self.repairing.of(channel, rereading, repairs_gaps=is_repaired, decoder=decoder)
            large_texts = self._large_texts(channel, rules, rereading, protection.hides)
        else:
            repairs = self.repairing.redriving(channel, decoder)
        return Ingest(
            source=self.source,
            log=self._log(channel, self.log),
            messages=self._messages(channel, normalise, protection, large_texts),
            positioning=self._positioning(channel, rules, self.repairing.orders.positions),
            repairs=repairs,
            admission=self._admission(channel, rules),
        )

    def _log(self, channel: Channel, log: EventLog) -> ChannelLog:
        clock = self.repairing.clock
        return ChannelLog(
            channel=channel, log=log, clock=clock, observer=self.observers.of_channel(channel, clock)
        )

    def _messages(
        self,
        channel: Channel,
        normalise: Normaliser,
        protection: ChannelProtection,
        large_texts: LargeTexts | None = None,
    ) -> MessageReader:
        return MessageReader(
            channel=channel,
            normalise=normalise,
            quarantine=Quarantine(clock=self.repairing.clock),
            large_texts=large_texts,
            protection=protection,
        )

    def _positioning(
        self, channel: Channel, rules: ChannelSettings, orders: PositionOrders | None = None
    ) -> Positioning:
        return Positioning(
            channel=channel,
            clock=self.repairing.clock,
            start=configured_start(rules.start),
            on_refused=rules.on_refused_replay_id,
            orders=None if orders is None else orders.of(channel),
        )

    def _large_texts(
        self,
        channel: Channel,
        rules: ChannelSettings,
        rereading: Rereading,
        hides: Callable[[str, str], bool],
    ) -> LargeTexts | None:
        if rules.large_text is LargeText.MARK:
            return None
        return LargeTexts(
            cache=TextCache(rules.large_text_cache_bytes),
            clock=self.repairing.clock,
            observer=self.observers.metrics.channel(channel),
            rereading=rereading if rules.large_text is LargeText.REREAD else None,
            hides=hides,
        )

    def _admission(self, channel: Channel, rules: ChannelSettings) -> ReplayAllowance | None:
        if rules.replay_retained == "always":
            return None
        is_on_cometd = self.settings.transport_of(rules) is Transport.COMETD
        return ReplayAllowance(channel=channel, limits=self.limits, is_on_cometd=is_on_cometd)
