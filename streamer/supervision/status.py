"""What the parts of a running daemon are doing, for probes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from streamer.clock import Clock
from streamer.events import Channel, SubscriberName
from streamer.ingest.keeper import ChannelState, ChannelStatus, Keeper
from streamer.observe.subscriber_status import SubscriberStatus
from streamer.supervision.health import Health, Kind, State, Verdict

_STEP_S = 0.02
_STANDBY = (
    "Standby: the channels are read by other processes; this one is logged in and a member of the group."
)


class Subscribed(Protocol):
    """Knows which paths Salesforce has accepted."""

    @property
    def subscribed(self) -> frozenset[str]:
        """The paths of the present session."""
        ...


class DispatcherStatus(Protocol):
    """Knows what a subscriber is doing."""

    @property
    def following(self) -> bool:
        """Whether it has its place in the log."""
        ...

    @property
    def status(self) -> SubscriberStatus:
        """How it stands now."""
        ...

    @property
    def stalled_since(self) -> float | None:
        """Since when nothing came of work that could be tried, in monotonic seconds."""
        ...

    @property
    def unrecorded_since(self) -> float | None:
        """Since when the log has not taken what was finished, in monotonic seconds."""
        ...


class LogCondition(Protocol):
    """Knows how the log is."""

    @property
    def hindrance(self) -> str:
        """Why nothing can be appended or read at the moment; empty while it can."""
        ...

    @property
    def is_member(self) -> bool:
        """Whether this process takes part in sharing the channels."""
        ...


@dataclass(slots=True, kw_only=True)
class Status:
    """Looks at the parts as the app puts them here.

    Readiness asks whether events can flow: into the log and out of it. A
    target that is away keeps its backlog in the log and makes nobody unready.
    """

    log: LogCondition | None = None
    ingests: bool = False
    stopping: bool = False
    keeper: Keeper | None = None
    source: Subscribed | None = None
    dispatchers: dict[SubscriberName, DispatcherStatus] = field(default_factory=dict)
    awaited: frozenset[SubscriberName] = frozenset()
    unopened: dict[SubscriberName, str] = field(default_factory=dict)
    waiting_for: dict[str, str] = field(default_factory=dict)

    def register(self, health: Health) -> None:
        """Let `health` ask whether we are ready."""
        health.register(Kind.READINESS, "connections", self._connections)
        health.register(Kind.READINESS, "log", self._log)
        health.register(Kind.READINESS, "channels", self._channels)
        health.register(Kind.READINESS, "subscribers", self._subscribers)

    def state(self) -> State:
        """Return in one word what this process is to the others."""
        if self.stopping:
            return State.STOPPING
        if (self.ingests and not self._has_joined()) or not self._subscribers().ok:
            return State.STARTING
        return State.ACTIVE if self.channels or self.awaited else State.STANDBY

    @property
    def channels(self) -> Mapping[Channel, ChannelStatus]:
        """What each channel that is ours is doing."""
        return self.keeper.status if self.keeper else {}

    @property
    def subscribed(self) -> frozenset[str]:
        """The paths that Salesforce has accepted."""
        return self.source.subscribed if self.source else frozenset()

    def complete(self) -> bool:
        """Whether channels are owned, all of them subscribed, and all subscribers follow the log."""
        return bool(self.channels) and self._channels().ok and self._all_follow()

    async def followed(self, clock: Clock, *, within_s: float) -> None:
        """Wait until every subscriber has its place in the log, or for `within_s`.

        A subscriber that starts at the latest event must not miss those that
        enter the log while it is being set up for the first time.
        """
        end = clock.monotonic() + within_s
        while not self._all_follow() and clock.monotonic() < end:
            await clock.sleep(_STEP_S)

    def _following(self) -> frozenset[SubscriberName]:
        return frozenset(name for name, each in self.dispatchers.items() if each.following)

    def _all_follow(self) -> bool:
        return self._following() >= self.awaited

    def _has_joined(self) -> bool:
        return self.keeper is not None and self.keeper.joined and self.log is not None and self.log.is_member

    def _connections(self) -> Verdict:
        if self.stopping:
            return Verdict(ok=False, sentence="This process is stopping.")
        if self.waiting_for:
            return Verdict(ok=False, sentence="; ".join(self.waiting_for.values()))
        return Verdict(ok=True, sentence="Nothing is being waited for.")

    def _log(self) -> Verdict:
        if self.log is None:
            return Verdict(ok=False, sentence="The log is not open yet.")
        hindrance = self.log.hindrance
        return Verdict(ok=not hindrance, sentence=hindrance or "The log can be used.")

    def _channels(self) -> Verdict:
        if not self.ingests:
            return Verdict(ok=True, sentence="This process reads no channels.")
        if not self._has_joined():
            return Verdict(
                ok=False, sentence="This process has not joined the group that shares the channels yet."
            )
        if not self.channels:
            return Verdict(ok=True, sentence=_STANDBY)
        problems = self._channel_problems()
        return Verdict(
            ok=not problems, sentence="; ".join(problems) or f"{len(self.channels)} channels are subscribed."
        )

    def _channel_problems(self) -> list[str]:
        status = self.channels
        problems = [
            f"{channel.path}: {each.reason}"
            for channel, each in status.items()
            if each.state is not ChannelState.RUNNING
        ]
        problems += [
            f"{channel.path}: not subscribed yet"
            for channel, each in status.items()
            if each.state is ChannelState.RUNNING and channel.path not in self.subscribed
        ]
        return problems

    def _subscribers(self) -> Verdict:
        # A plugin that can't be opened waits for its target.
        absent = sorted(self.awaited - self._following() - self.unopened.keys())
        if absent:
            return Verdict(ok=False, sentence=f"{', '.join(absent)}: no place in the log yet.")
        following = self._following()
        waiting = "; ".join(
            f"{name}: {reason}" for name, reason in self.unopened.items() if name not in following
        )
        return Verdict(ok=True, sentence=waiting or f"{len(self.awaited)} subscribers follow the log.")
