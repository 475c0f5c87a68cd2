"""Lets somebody watch what flows beside the metrics that count it."""

from dataclasses import dataclass
from typing import Protocol

from streamer.events import Batch, DeadLetter, Event, Outcome, SubscriberName
from streamer.observe.series import ChannelMetrics, SubscriberMetrics
from streamer.ports import Append


class Watcher(Protocol):
    """Is shown events as they pass; must not block or raise."""

    def appended(self, append: Append) -> None:
        """These events are in the log."""
        ...

    def attempted(self, subscriber: SubscriberName, event: Event, outcome: Outcome) -> None:
        """One attempt at a delivery has ended."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedIngest:
    """Counts appends and shows them to the watcher."""

    metrics: ChannelMetrics
    watcher: Watcher

    def appended(self, batch: Batch, append: Append, seconds: float) -> None:
        """Pass an append on."""
        self.metrics.appended(batch, append, seconds)
        self.watcher.appended(append)


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedDispatch:
    """Counts attempts and shows them to the watcher."""

    name: SubscriberName
    metrics: SubscriberMetrics
    watcher: Watcher

    def attempted(self, event: Event, outcome: Outcome, seconds: float) -> None:
        """Pass an attempt on."""
        self.metrics.attempted(event, outcome, seconds)
        self.watcher.attempted(self.name, event, outcome)

    def set_aside(self, letter: DeadLetter) -> None:
        """Count a dead letter."""
        self.metrics.set_aside(letter)
