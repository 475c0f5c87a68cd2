"""What the parts of a running daemon are doing, for probes and metrics."""

from dataclasses import dataclass, field
from typing import Protocol

from streamer.clock import Clock
from streamer.events import SubscriberName
from streamer.ingest.keeper import ChannelState, Keeper
from streamer.observe.health import Health, Heartbeat, Kind, Verdict
from streamer.observe.metrics import Metrics

_LOOK_S = 1.0
_STEP_S = 0.02


class Subscribed(Protocol):
    """Knows which paths Salesforce has accepted."""

    @property
    def subscribed(self) -> frozenset[str]:
        """The paths of the present session."""
        ...


class Dispatching(Protocol):
    """Knows what a subscriber is doing."""

    @property
    def following(self) -> bool:
        """Whether it has its place in the log."""
        ...

    @property
    def held(self) -> str:
        """The reason; empty while deliveries go on."""
        ...


@dataclass(slots=True)
class Status:
    """Looks at the parts as the app puts them here.

    Readiness asks whether events can flow in; a target that is away keeps its
    backlog in the log and makes nobody unready.
    """

    metrics: Metrics
    keeper: Keeper | None = None
    source: Subscribed | None = None
    dispatchers: dict[SubscriberName, Dispatching] = field(default_factory=dict)
    awaited: frozenset[SubscriberName] = frozenset()
    waiting_for: dict[str, str] = field(default_factory=dict)

    def health(self, heartbeat: Heartbeat) -> Health:
        """Return the probes."""
        health = Health()
        health.register(Kind.LIVENESS, "event loop", heartbeat.probe)
        health.register(Kind.READINESS, "connections", self._connections)
        health.register(Kind.READINESS, "channels", self._channels)
        return health

    def complete(self) -> bool:
        """Whether channels are owned, all of them subscribed, and all subscribers follow the log."""
        return bool(self.keeper and self.keeper.status) and self._channels().ok and self._all_follow()

    async def followed(self, clock: Clock, *, within_s: float) -> None:
        """Wait until every subscriber has its place in the log, or for `within_s`.

        A subscriber that starts at the latest event must not miss those that
        enter the log while it is being set up for the first time.
        """
        end = clock.monotonic() + within_s
        while not self._all_follow() and clock.monotonic() < end:
            await clock.sleep(_STEP_S)

    def _all_follow(self) -> bool:
        return {name for name, each in self.dispatchers.items() if each.following} >= self.awaited

    async def watch(self, clock: Clock) -> None:
        """Keep the gauges of channels and subscribers true, until cancelled."""
        while True:
            for channel in self.keeper.status if self.keeper else ():
                self.metrics.channel(channel).set_up(channel.path in self._subscribed())
            for name, dispatcher in self.dispatchers.items():
                self.metrics.subscriber(name).set_held(bool(dispatcher.held))
            await clock.sleep(_LOOK_S)

    def _subscribed(self) -> frozenset[str]:
        return self.source.subscribed if self.source else frozenset()

    def _connections(self) -> Verdict:
        if not self.waiting_for:
            return Verdict(ok=True, sentence="Nothing is being waited for.")
        return Verdict(ok=False, sentence="; ".join(self.waiting_for.values()))

    def _channels(self) -> Verdict:
        status = self.keeper.status if self.keeper else {}
        problems = [
            f"{channel.path}: {each.reason}"
            for channel, each in status.items()
            if each.state is not ChannelState.RUNNING
        ]
        problems += [
            f"{channel.path}: not subscribed yet"
            for channel, each in status.items()
            if each.state is ChannelState.RUNNING and channel.path not in self._subscribed()
        ]
        if problems:
            return Verdict(ok=False, sentence="; ".join(problems))
        return Verdict(ok=True, sentence=f"{len(status)} channels are subscribed.")
