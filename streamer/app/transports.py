"""Transports over which the channels of an org are read."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from streamer.clock import Clock
from streamer.events import Batch, Channel, Checkpoint, Start
from streamer.salesforce.auth.tokens import Tokens
from streamer.salesforce.cometd.session import BayeuxOptions
from streamer.salesforce.cometd.source import CometdSource
from streamer.salesforce.observer import SessionObserver
from streamer.salesforce.pubsub.options import PubSubOptions
from streamer.salesforce.pubsub.source import PubSubSource
from streamer.settings import Settings, Transport


@dataclass(frozen=True, slots=True, kw_only=True)
class Transports:
    """Source that reads each channel over its own transport."""

    sources: Mapping[Transport, CometdSource | PubSubSource]
    transports: Mapping[str, Transport]

    @property
    def subscribed(self) -> frozenset[str]:
        """Paths that Salesforce has accepted, over any transport."""
        return frozenset[str]().union(*(source.subscribed for source in self.sources.values()))

    def batches(self, channel: Channel, *, after: Checkpoint | Start) -> AsyncGenerator[Batch, None]:
        """Yield the batches of `channel`: see `streamer.ports.Source`."""
        return self._source(channel).batches(channel, after=after)

    def settle(self, checkpoint: Checkpoint, /) -> None:
        """Let the checkpoint's channel resume after it."""
        self._source(checkpoint.channel).settle(checkpoint)

    def _source(self, channel: Channel) -> CometdSource | PubSubSource:
        return self.sources[self.transports[channel.path]]


@asynccontextmanager
async def opened(
    settings: Settings, tokens: Tokens, clock: Clock, observer: SessionObserver
) -> AsyncIterator[Transports]:
    """Open the source of each transport that a channel of `settings` uses.

    Raises `ConfigurationError` when the Pub/Sub API's address can't be used.
    """
    transports = {each.path: settings.transport_of(each) for each in settings.channels}
    sources: dict[Transport, CometdSource | PubSubSource] = {}
    async with AsyncExitStack() as stack:
        for transport in sorted(set(transports.values())):
            source: CometdSource | PubSubSource
            if transport is Transport.COMETD:
                bayeux = BayeuxOptions(api_version=settings.org.api_version)
                source = CometdSource(tokens, clock, options=bayeux, observer=observer)
            else:
                options = PubSubOptions.of(settings.org)
                source = PubSubSource(tokens, clock, options=options, observer=observer)
            sources[transport] = await stack.enter_async_context(source)
        yield Transports(sources=sources, transports=transports)
