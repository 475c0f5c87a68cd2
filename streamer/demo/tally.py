"""What the demo saw pass, and how long it took."""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from streamer.clock import Clock
from streamer.events import DeadLetter, Delivered, Event, EventId, Outcome, SubscriberName


@dataclass(slots=True, kw_only=True)
class Tally:
    """A watcher that counts, and remembers the latest lines for the screen."""

    clock: Clock
    appended_ids: Counter[EventId] = field(default_factory=Counter)
    dead_letters: int = 0
    attempts: Counter[SubscriberName] = field(default_factory=Counter)
    append_latency_s: list[float] = field(default_factory=list)
    delivery_latency_s: dict[SubscriberName, list[float]] = field(default_factory=dict)
    latest: deque[str] = field(default_factory=lambda: deque(maxlen=8))

    def appended(self, events: Sequence[Event], set_aside: Sequence[DeadLetter]) -> None:
        """Count what entered the log."""
        self.dead_letters += len(set_aside)
        for event in events:
            self.appended_ids[event.id] += 1
            self.append_latency_s.append(self._age_s(event))

    def attempted(self, subscriber: SubscriberName, event: Event, outcome: Outcome) -> None:
        """Count what came of an attempt."""
        if not isinstance(outcome, Delivered):
            return
        self.attempts[subscriber] += 1
        age_s = self._age_s(event)
        self.delivery_latency_s.setdefault(subscriber, []).append(age_s)
        about = event.type.removeprefix("salesforce.")
        self.latest.append(f"{event.time[11:23]}  {about}  →  {subscriber}  ({age_s * 1000:.0f} ms)")

    def _age_s(self, event: Event) -> float:
        # Salesforce's times are whole milliseconds, so the youngest events
        # can seem to come from the future by a part of one.
        return max(0.0, self.clock.now() - datetime.fromisoformat(event.time).timestamp())


def percentile(values: list[float], share: float) -> float:
    """Return the value that `share` (0 to 1) of `values` do not exceed; 0 when there are none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
