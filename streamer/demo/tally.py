"""Tally of the events that the demo saw pass, with their latencies."""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from streamer.clock import Clock
from streamer.events import DeadLetter, Delivered, Event, EventId, Outcome, SubscriberName


@dataclass(slots=True, kw_only=True)
class Tally:
    """Watcher that counts events, and keeps the latest lines for the screen."""

    clock: Clock
    appended_ids: Counter[EventId] = field(default_factory=Counter)
    dead_letters: dict[str, DeadLetter] = field(default_factory=dict)

    append_latency_s: list[float] = field(default_factory=list)
    delivery_latency_s: dict[SubscriberName, list[float]] = field(default_factory=dict)
    latest: deque[str] = field(default_factory=lambda: deque(maxlen=40))

    def appended(self, events: Sequence[Event], set_aside: Sequence[DeadLetter]) -> None:
        """Count the events and keep the dead letters that entered the log."""
        self.dead_letters |= {letter.id: letter for letter in set_aside}
        for event in events:
            self.appended_ids[event.id] += 1
            self.append_latency_s.append(self._age_s(event))

    def attempted(self, subscriber: SubscriberName, event: Event, outcome: Outcome) -> None:
        """Record the latency of a delivery."""
        if not isinstance(outcome, Delivered):
            return

        age_s = self._age_s(event)
        self.delivery_latency_s.setdefault(subscriber, []).append(age_s)
        self.latest.append(f"{event.time[11:23]}  {event.key}  →  {subscriber}  ({age_s * 1000:.0f} ms)")

    def set_aside(self, subscriber: SubscriberName, letter: DeadLetter) -> None:  # noqa: ARG002 - it names it
        """Keep a dead letter of a subscriber."""
        self.dead_letters[letter.id] = letter

    def _age_s(self, event: Event) -> float:
        # Salesforce's times are whole milliseconds, so the youngest events
        # can seem to be a fraction of one in the future.
        return max(0.0, self.clock.now() - datetime.fromisoformat(event.time).timestamp())


def percentile(values: list[float], share: float) -> float:
    """Return the value that `share` (0 to 1) of `values` do not exceed; 0 for no values."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
