"""Tally and timeline of the demo: event counts, latencies, and the latest lines."""

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from streamer.clock import Clock
from streamer.demo.scenario import TITLES
from streamer.dispatch.dispatcher import Dispatcher
from streamer.events import DeadLetter, Delivered, Event, EventId, Outcome, SubscriberName

# Enough for a steady median, and few enough to follow an outage.
_RECENT = 40


@dataclass(slots=True, kw_only=True)
class Tally:
    """Watcher that counts events and measures latencies; `recent_s` has the latest latencies."""

    clock: Clock
    appended_ids: Counter[EventId] = field(default_factory=Counter)
    dead_letters: dict[str, DeadLetter] = field(default_factory=dict)

    append_latency_s: list[float] = field(default_factory=list)
    delivery_latency_s: dict[SubscriberName, list[float]] = field(default_factory=dict)
    recent_s: dict[SubscriberName, deque[float]] = field(default_factory=dict)

    def appended(self, events: Sequence[Event], set_aside: Sequence[DeadLetter]) -> None:
        """Count the appended events, and keep the new dead letters."""
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
        self.recent_s.setdefault(subscriber, deque(maxlen=_RECENT)).append(age_s)

    def set_aside(self, subscriber: SubscriberName, letter: DeadLetter) -> None:  # noqa: ARG002 - it names it
        """Keep a dead letter of a subscriber."""
        self.dead_letters[letter.id] = letter

    def _age_s(self, event: Event) -> float:
        # Salesforce's times are whole milliseconds, so a new event can seem to be from
        # the future by less than a millisecond.
        return max(0.0, self.clock.now() - datetime.fromisoformat(event.time).timestamp())


def _title(name: str) -> str:
    return next((title for each, title in TITLES.items() if each == name), name)


def percentile(values: list[float], share: float) -> float:
    """Return the value that `share` (0 to 1) of `values` do not exceed, or 0 without values."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(slots=True, kw_only=True)
class Timeline:
    """Latest lines about messages, faults, breakers, parked keys and dead letters, with their times.

    `total` counts all lines since the beginning.
    """

    clock: Clock
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=100))
    total: int = 0
    _began: float = field(init=False)
    _down: set[SubscriberName] = field(default_factory=set)
    _most_parked: dict[SubscriberName, int] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._began = self.clock.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the beginning."""
        return self.clock.monotonic() - self._began

    def add(self, text: str) -> None:
        """Add a line about this moment."""
        self.lines.append(f"{self.elapsed_s:5.1f} s  {text}")
        self.total += 1

    def add_once(self, text: str) -> None:
        """Add a line about this moment, unless this method has added the same line before."""
        if text not in self._told:
            self._told.add(text)
            self.add(text)

    def since(self, seen: int) -> list[str]:
        """Return the kept lines after the first `seen` lines of the timeline."""
        fresh = min(self.total - seen, len(self.lines))
        return list(self.lines)[len(self.lines) - fresh :]

    def observe(
        self, dispatchers: Mapping[SubscriberName, Dispatcher], letters: Iterable[DeadLetter]
    ) -> None:
        """Add a line for each change of a breaker or of parked keys, and for each new dead letter."""
        for name, dispatcher in dispatchers.items():
            self._observe_breaker(name, is_down=dispatcher.status.is_down)
            self._observe_parked(name, dispatcher)
        for letter in letters:
            if letter.id not in self._told:
                self._told.add(letter.id)
                self.add(f"{_title(letter.subscriber or letter.channel)}: dead letter, {letter.error}")

    def _observe_breaker(self, name: SubscriberName, *, is_down: bool) -> None:
        if is_down and name not in self._down:
            self._down.add(name)
            self.add(f"{_title(name)}: the circuit opens; events wait in the log")
        elif not is_down and name in self._down:
            self._down.remove(name)
            self.add(f"{_title(name)}: the circuit closes")

    def _observe_parked(self, name: SubscriberName, dispatcher: Dispatcher) -> None:
        parked = dispatcher.status.parked
        most = self._most_parked.get(name, 0)
        if parked and not most:
            key = dispatcher.parked(1).keys[0].key
            self.add(f"{_title(name)}: the first failed event is parked in the log, of {key}")
        elif most and not parked:
            self.add(f"{_title(name)}: no event is parked any more; at most {most} were")
        self._most_parked[name] = max(most, parked) if parked else 0
