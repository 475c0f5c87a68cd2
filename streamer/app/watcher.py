"""Watcher: sees the events that pass, beside the metrics that count them."""

from dataclasses import dataclass
from typing import Protocol

from streamer.events import Batch, DeadLetter, Event, Outcome, SubscriberName
from streamer.observe.series import ChannelMetrics, SubscriberMetrics
from streamer.ports import Append


class Watcher(Protocol):
    """Observer of passing events; its methods must neither block nor raise."""

    def appended(self, append: Append) -> None:
        """Take note that the log holds `append`."""
        ...

    def attempted(self, subscriber: SubscriberName, event: Event, outcome: Outcome) -> None:
        """Take note that one attempt at a delivery has ended with `outcome`."""
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
