"""Rates of the last minute: events of each channel, and deliveries of each subscriber."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain

from prometheus_client import CollectorRegistry

from streamer.clock import Clock

_EVERY_S = 10.0
_MINUTE_S = 60.0
# A rate over a shorter time says more about the moment of the page than about the flow.
_SHORTEST_S = 5.0
_EVENTS = "streamer_ingest_events_total"
_DELIVERIES = "streamer_deliveries_total"


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowRates:
    """Rates per second: `events` by channel's path, and `deliveries` by subscriber.

    `is_known` is false in the first seconds of a process.
    """

    events: Mapping[str, float]
    deliveries: Mapping[str, float]
    is_known: bool = True

    def events_of(self, path: str) -> float | None:
        """Return the rate of a channel's events, or `None` while the rates are not known."""
        return self.events.get(path, 0.0) if self.is_known else None

    def deliveries_to(self, subscriber: str) -> float | None:
        """Return the rate of the deliveries to a subscriber, or `None` while the rates are not known."""
        return self.deliveries.get(subscriber, 0.0) if self.is_known else None


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowCounts:
    """Counts since the start of the process, `at` a monotonic time."""

    at: float
    events: Mapping[str, float]
    deliveries: Mapping[str, float]


@dataclass(slots=True, kw_only=True)
class FlowRateSampler:
    """Counts the events and the deliveries in `registry` every ten seconds."""

    registry: CollectorRegistry
    clock: Clock
    _kept: "deque[FlowCounts]" = field(
        default_factory=lambda: deque(maxlen=int(_MINUTE_S / _EVERY_S)), init=False
    )

    async def run(self) -> None:
        """Count until cancelled."""
        while True:
            self._kept.append(self._counted())
            await self.clock.sleep(_EVERY_S)

    def rates(self) -> FlowRates:
        """Return the rates of the last minute, or since the start of the process."""
        now = self._counted()
        began = self._kept[0] if self._kept else now
        span_s = now.at - began.at
        if span_s < _SHORTEST_S:
            return FlowRates(events={}, deliveries={}, is_known=False)
        return FlowRates(
            events=_per_second(began.events, now.events, span_s),
            deliveries=_per_second(began.deliveries, now.deliveries, span_s),
        )

    def _counted(self) -> FlowCounts:
        events: dict[str, float] = {}
        deliveries: dict[str, float] = {}
        found = self.registry.restricted_registry([_EVENTS, _DELIVERIES]).collect()
        for sample in chain.from_iterable(each.samples for each in found):
            labels = sample.labels
            if sample.name == _EVENTS:
                events[labels["channel"]] = sample.value
            elif sample.name == _DELIVERIES and labels["outcome"] == "delivered":
                deliveries[labels["subscriber"]] = sample.value
        return FlowCounts(at=self.clock.monotonic(), events=events, deliveries=deliveries)


def _per_second(before: Mapping[str, float], after: Mapping[str, float], span_s: float) -> dict[str, float]:
    # A series begins with its first event. After a subscriber was removed, its counts begin again.
    return {name: max(0.0, value - before.get(name, 0.0)) / span_s for name, value in after.items()}
