"""Condition of the subscribers, and the readiness that follows from it."""

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
        """True once it follows the log from its own position."""
        ...

    @property
    def status(self) -> SubscriberStatus:
        """Status of the subscriber at the moment."""
        ...

    @property
    def stalled_since(self) -> float | None:
        """Time since which possible work has stood still, in monotonic seconds; `None` while it moves."""
        ...

    @property
    def unrecorded_since(self) -> float | None:
        """Time since which the log has not recorded finished work, in monotonic seconds; or `None`."""
        ...


@dataclass(slots=True)
class SubscribersCondition:
    """Condition of the subscribers, which should follow the log."""

    _dispatchers: dict[SubscriberName, DispatcherStatus] = field(default_factory=dict, init=False)
    _configured: frozenset[SubscriberName] = field(default=frozenset(), init=False)
    _blocked_plugins: dict[SubscriberName, str] = field(default_factory=dict, init=False)

    def expect(self, names: Collection[SubscriberName]) -> None:
        """Report that exactly the subscribers `names` will follow the log."""
        self._configured = frozenset(names)

    def started(self, name: SubscriberName, dispatcher: DispatcherStatus) -> None:
        """Report that `dispatcher` delivers for `name`, instead of a former one."""
        self._dispatchers[name] = dispatcher

    def blocked(self, name: SubscriberName, reason: str) -> None:
        """Report that the plugin of `name` can't be opened, for `reason`; it is tried again."""
        self._blocked_plugins[name] = reason

    def unblocked(self, name: SubscriberName) -> None:
        """Report that the plugin of `name` is not the reason for waiting."""
        self._blocked_plugins.pop(name, None)

    def ended(self, name: SubscriberName) -> None:
        """Report that nothing delivers for `name` in this process."""
        self._dispatchers.pop(name, None)
        self._blocked_plugins.pop(name, None)

    @property
    def dispatchers(self) -> Mapping[SubscriberName, DispatcherStatus]:
        """Dispatchers of this process, by their subscribers."""
        return self._dispatchers

    @property
    def configured(self) -> frozenset[SubscriberName]:
        """Configured subscribers, which should follow the log."""
        return self._configured

    @property
    def following(self) -> frozenset[SubscriberName]:
        """Subscribers that follow the log."""
        return frozenset(name for name, each in self._dispatchers.items() if each.following)

    @property
    def absent(self) -> frozenset[SubscriberName]:
        """Configured subscribers that do not follow the log, unless their plugin is the reason."""
        return self._configured - self.following - self._blocked_plugins.keys()

    def plugin_problems(self) -> Sequence[str]:
        """Return a sentence for each subscriber that does not follow the log because of its plugin."""
        following = self.following
        return [
            f"{name}: {reason}" for name, reason in self._blocked_plugins.items() if name not in following
        ]

    def delivery_problems(self) -> Sequence[str]:
        """Return a sentence for each subscriber whose events are not delivered at the moment."""
        troubles = {name: each.status.trouble for name, each in self._dispatchers.items() if each.following}
        return [f"{name}: {trouble}" for name, trouble in troubles.items() if trouble]

    @property
    def all_follow(self) -> bool:
        """True while all configured subscribers follow the log."""
        return self.following >= self._configured

    async def followed(self, clock: Clock, *, within_s: float) -> None:
        """Wait until every subscriber follows the log, but for at most `within_s`.

        A new subscriber that starts at the latest event must not miss events that
        arrive while it is being set up.
        """
        end = clock.monotonic() + within_s
        while not self.all_follow and clock.monotonic() < end:
            await clock.sleep(_STEP_S)

    def register(self, health: Health) -> None:
        """Add the probe to `health`.

        A target that is away leaves the process ready: its backlog stays in the
        log. The sentence says what is wrong with it.
        """
        health.register(ProbeKind.READINESS, "subscribers", self._readiness)

    def _readiness(self) -> ProbeResult:
        # A plugin that can't be opened waits for its target.
        if absent := sorted(self.absent):
            return ProbeResult(ok=False, sentence=f"{', '.join(absent)}: no place in the log yet.")
        problems = [*self.plugin_problems(), *self.delivery_problems()]
        follow = f"Subscribers that follow the log: {len(self._configured)}."
        return ProbeResult(ok=True, sentence="; ".join(problems) or follow)
