"""Condition of the subscribers, and their readiness probe."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from streamer.clock import Clock
from streamer.events import SubscriberName
from streamer.observe.subscriber_status import SubscriberStatus
from streamer.supervision.health import Health, ProbeKind, ProbeResult

_STEP_S = 0.02


class DispatcherStatus(Protocol):
    """A dispatcher's view of its condition."""

    @property
    def following(self) -> bool:
        """True once the dispatcher follows the log from its own position."""
        ...

    @property
    def status(self) -> SubscriberStatus:
        """Current status of the subscriber."""
        ...

    @property
    def stalled_since(self) -> float | None:
        """Monotonic time since when possible work has not been done, or `None` while work continues."""
        ...

    @property
    def unrecorded_since(self) -> float | None:
        """Time since when the log has not recorded finished deliveries, in monotonic seconds, or `None`."""
        ...


@dataclass(slots=True)
class SubscribersCondition:
    """Condition of the subscribers that should follow the log."""

    _dispatchers: dict[SubscriberName, DispatcherStatus] = field(default_factory=dict, init=False)
    _configured: frozenset[SubscriberName] = field(default=frozenset(), init=False)
    _blocked_plugins: dict[SubscriberName, str] = field(default_factory=dict, init=False)

    def expect(self, names: Collection[SubscriberName]) -> None:
        """Report that exactly the subscribers `names` will follow the log."""
        self._configured = frozenset(names)

    def started(self, name: SubscriberName, dispatcher: DispatcherStatus) -> None:
        """Report that `dispatcher` delivers for `name`, and has replaced any earlier dispatcher of `name`."""
        self._dispatchers[name] = dispatcher

    def blocked(self, name: SubscriberName, reason: str) -> None:
        """Report that the plugin of `name` can't be opened for `reason`, and that another try follows."""
        self._blocked_plugins[name] = reason

    def unblocked(self, name: SubscriberName) -> None:
        """Report that `name` no longer waits because of its plugin."""
        self._blocked_plugins.pop(name, None)

    def ended(self, name: SubscriberName) -> None:
        """Report that this process no longer delivers for `name`."""
        self._dispatchers.pop(name, None)
        self._blocked_plugins.pop(name, None)

    @property
    def dispatchers(self) -> Mapping[SubscriberName, DispatcherStatus]:
        """Dispatchers of this process by subscriber."""
        return self._dispatchers

    @property
    def configured(self) -> frozenset[SubscriberName]:
        """Configured subscribers, which should all follow the log."""
        return self._configured

    @property
    def following(self) -> frozenset[SubscriberName]:
        """Subscribers that follow the log."""
        return frozenset(name for name, each in self._dispatchers.items() if each.following)

    @property
    def absent(self) -> frozenset[SubscriberName]:
        """Configured subscribers that do not follow the log, except those whose plugin can't be opened."""
        return self._configured - self.following - self._blocked_plugins.keys()

    @property
    def blocked_plugins(self) -> Mapping[SubscriberName, str]:
        """Reason of each subscriber that does not follow the log because its plugin can't be opened."""
        following = self.following
        return {name: reason for name, reason in self._blocked_plugins.items() if name not in following}

    def plugin_problems(self) -> Sequence[str]:
        """Return a sentence for each subscriber that does not follow the log because of its plugin."""
        return [f"{name}: {reason}" for name, reason in self.blocked_plugins.items()]

    def delivery_problems(self) -> Sequence[str]:
        """Return a sentence for each subscriber whose events are not delivered now."""
        troubles = {name: each.status.trouble for name, each in self._dispatchers.items() if each.following}
        return [f"{name}: {trouble}" for name, trouble in troubles.items() if trouble]

    @property
    def all_follow(self) -> bool:
        """True while all configured subscribers follow the log."""
        return self.following >= self._configured

    async def followed(self, clock: Clock, *, within_s: float) -> None:
        """Wait until every subscriber follows the log, but at most `within_s` seconds.

        Without this wait, a new subscriber that starts at the latest event could miss
        events that arrive during its start.
        """
        end = clock.monotonic() + within_s
        while not self.all_follow and clock.monotonic() < end:
            await clock.sleep(_STEP_S)

    def register(self, health: Health) -> None:
        """Add the probe to `health`.

        A process with an unavailable target stays ready, because the log keeps the
        backlog. The probe's sentence names the target's problem.
        """
        health.register(ProbeKind.READINESS, "subscribers", self._readiness)

    def _readiness(self) -> ProbeResult:
        # A subscriber whose plugin can't be opened waits for its target, so it is not `absent`.
        if absent := sorted(self.absent):
            return ProbeResult(
                ok=False, sentence=f"These subscribers have no position in the log yet: {', '.join(absent)}."
            )
        problems = [*self.plugin_problems(), *self.delivery_problems()]
        follow = f"Subscribers that follow the log: {len(self._configured)}."
        return ProbeResult(ok=True, sentence="; ".join(problems) or follow)
