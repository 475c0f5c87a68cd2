"""Transports over which the channels of an org are read."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from streamer.clock import Clock
from streamer.events import Batch, Channel, Checkpoint, Start
from streamer.ports import PayloadReader, Source
from streamer.salesforce.auth.tokens import Tokens
from streamer.salesforce.sessions import SessionObserver
from streamer.settings import OUTBOUND_ROOT, Settings, Transport


class SubscribedSource(Source, Protocol):
    """Source that knows the channels that Salesforce has accepted, and those that it does not answer."""

    @property
    def subscribed(self) -> frozenset[str]:
        """Paths that Salesforce has accepted."""
        ...

    @property
    def overdue(self) -> Mapping[str, int]:
        """Number of consecutive connections without a timely answer, by path; paths with 0 are absent."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Transports:
    """Source that reads each channel over the channel's transport, and outbound messages from the endpoint.

    If any channel is read over the Pub/Sub API, `payloads` decodes payloads from
    that API.
    """

    sources: Mapping[Transport, SubscribedSource]
    transports: Mapping[str, Transport]
    outbound: SubscribedSource | None = None
    payloads: PayloadReader | None = None

    @property
    def subscribed(self) -> frozenset[str]:
        """Paths that Salesforce has accepted on any transport."""
        return frozenset(path for source in self._sources for path in source.subscribed)

    @property
    def overdue(self) -> Mapping[str, int]:
        """Number of consecutive connections without a timely answer, by path; paths with 0 are absent."""
        return {path: times for source in self._sources for path, times in source.overdue.items()}

    def batches(self, channel: Channel, *, after: Checkpoint | Start) -> AsyncGenerator[Batch, None]:
        """Yield the batches of `channel`: see `streamer.ports.Source`."""
        return self._source(channel).batches(channel, after=after)

    def settle(self, checkpoint: Checkpoint, /) -> None:
        """Make the checkpoint's channel resume after the checkpoint."""
        self._source(checkpoint.channel).settle(checkpoint)

    @property
    def _sources(self) -> Sequence[SubscribedSource]:
        return [*self.sources.values(), *([self.outbound] if self.outbound else [])]

    def _source(self, channel: Channel) -> SubscribedSource:
        if self.outbound is not None and channel.path.startswith(OUTBOUND_ROOT):
            return self.outbound
        return self.sources[self.transports[channel.path]]


@asynccontextmanager
async def opened(
    settings: Settings,
    tokens: Tokens,
    clock: Clock,
    observer: SessionObserver,
    *,
    outbound: SubscribedSource | None = None,
) -> AsyncIterator[Transports]:
    """Open the source of each transport that `settings` use; other transports are not imported.

    Channels of outbound messages are read from `outbound`. Raises
    `ConfigurationError` if the Pub/Sub API's address can't be used.
    """
    transports = {each.path: settings.transport_of(each) for each in settings.channels}
    sources: dict[Transport, SubscribedSource] = {}
    payloads: PayloadReader | None = None
    async with AsyncExitStack() as stack:
        if Transport.COMETD in transports.values():
            from streamer.salesforce.cometd.session import BayeuxOptions  # noqa: PLC0415 - as said
            from streamer.salesforce.cometd.source import CometdSource  # noqa: PLC0415 - as said

            bayeux = BayeuxOptions(api_version=settings.org.api_version)
            cometd = CometdSource(tokens, clock, options=bayeux, observer=observer)
            sources[Transport.COMETD] = await stack.enter_async_context(cometd)
        if Transport.PUBSUB in transports.values():
            from streamer.salesforce.pubsub.options import PubSubOptions  # noqa: PLC0415 - as said
            from streamer.salesforce.pubsub.source import PubSubSource  # noqa: PLC0415 - gRPC costs 0.1 s

            pubsub = PubSubSource(tokens, clock, options=PubSubOptions.of(settings.org), observer=observer)
            sources[Transport.PUBSUB] = payloads = await stack.enter_async_context(pubsub)
        yield Transports(sources=sources, transports=transports, outbound=outbound, payloads=payloads)
