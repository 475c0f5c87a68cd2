"""Ports of the API to the daemon that serves it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from streamer.dispatch.delivery.enrichment import Enrichment
from streamer.dispatch.delivery.route import Route
from streamer.events import Event, SubscriberName
from streamer.observe.subscriber_status import ParkedKeys, SubscriberStatus
from streamer.ports import ControlledLog, RecordedPositions, Subscriber, Subscription
from streamer.settings import Settings


class RunningSubscriber(Protocol):
    """Subscriber for which this process delivers."""

    @property
    def status(self) -> SubscriberStatus:
        """Present status of the subscriber."""
        ...

    def probe_now(self) -> None:
        """Try its target now: end a hold, and let an open breaker probe at once."""
        ...

    def parked(self, most: int, *, key: str | None = None) -> ParkedKeys:
        """Return the `most` parked keys that are due first; with `key` only its own."""
        ...


class CurrentPlan(Protocol):
    """Configuration in effect."""

    @property
    def settings(self) -> Settings:
        """Settings in effect."""
        ...

    @property
    def subscribers(self) -> Mapping[SubscriberName, Callable[[], Subscriber]]:
        """Factories of the subscribers' plugins."""
        ...

    @property
    def routes(self) -> Mapping[SubscriberName, Route]:
        """Predicate, projection and text of each subscriber."""
        ...

    def subscription(self, name: SubscriberName) -> Subscription:
        """Return what a subscriber selects of the log."""
        ...

    def admits(self, name: SubscriberName) -> Callable[[Event], bool]:
        """Return a test whether an event is for a subscriber, or can be with its look-ups.

        The test raises `BrokenRoute`.
        """
        ...


class Verdict(Protocol):
    """Treatment of an event by one subscriber, under the configuration in effect."""

    @property
    def matches(self) -> bool:
        """True when the event is for the subscriber, and its expressions do not fail on it."""
        ...

    @property
    def why(self) -> str:
        """Reason why it does not match; empty when it does."""
        ...

    @property
    def error(self) -> str:
        """Sentence of an expression that fails on the event; empty when none does."""
        ...

    @property
    def absent(self) -> Sequence[str]:
        """Names of receipts and looked-up records that are not known, and on which the verdict depends."""
        ...


class AdminLog(ControlledLog, RecordedPositions, Protocol):
    """Log, as operators look at it and control it."""


class DaemonState(Protocol):
    """Configured subscribers, and those for which this process delivers."""

    @property
    def plan(self) -> CurrentPlan:
        """Configuration in effect."""
        ...

    def enrichment(self, name: SubscriberName) -> Enrichment | None:
        """Return what looks records up for a subscriber, `None` where it needs none."""
        ...

    def verdict(self, name: SubscriberName, event: Event) -> Verdict:
        """Return what becomes of an event at a configured subscriber."""
        ...

    @property
    def dispatchers(self) -> Mapping[SubscriberName, RunningSubscriber]:
        """Subscribers for which this process delivers."""
        ...
