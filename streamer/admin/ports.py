"""What the API needs of the daemon that it is part of."""

from collections.abc import Callable, Mapping
from typing import Protocol

from streamer.dispatch.attempt.route import Route
from streamer.events import SubscriberName
from streamer.observe.subscriber_status import SubscriberStatus
from streamer.ports import Subscriber
from streamer.settings import Settings


class RunningSubscriber(Protocol):
    """One subscriber that this process delivers to."""

    @property
    def status(self) -> SubscriberStatus:
        """How it stands now."""
        ...


class CurrentPlan(Protocol):
    """The configuration that is in effect."""

    @property
    def settings(self) -> Settings:
        """All of it."""
        ...

    @property
    def subscribers(self) -> Mapping[SubscriberName, Callable[[], Subscriber]]:
        """What makes each subscriber's plugin."""
        ...

    @property
    def routes(self) -> Mapping[SubscriberName, Route]:
        """Each subscriber's predicate, projection and text."""
        ...


class DaemonState(Protocol):
    """The subscribers: as configured, and those that this process delivers to."""

    @property
    def plan(self) -> CurrentPlan:
        """What is configured now."""
        ...

    @property
    def dispatchers(self) -> Mapping[SubscriberName, RunningSubscriber]:
        """Who is at work in this process."""
        ...
