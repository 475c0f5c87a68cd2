"""Metrics of the keeper of record states."""

from collections import Counter as Count
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge

from streamer.events import RecordState


class StateMetrics:
    """Series of the record states that this process writes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._written = Counter(
            "streamer_states_written",
            "Record states that were written to the log, by object.",
            ["entity"],
            registry=registry,
        )
        self._lag = Gauge(
            "streamer_state_lag_events",
            "Change events in the log whose states are not written yet, in the partitions of this process.",
            registry=registry,
        )
        self._awaited = Gauge(
            "streamer_state_awaited_records",
            "Records whose state is unclear, and that Streamer has ordered to be read again.",
            registry=registry,
        )

    def expected(self, entities: Sequence[str]) -> None:
        """Begin the series of these objects with zero."""
        for entity in entities:
            self._written.labels(entity)

    def settled(self, states: Sequence[RecordState], *, behind: int, awaited: int) -> None:
        """Count `states` that were written, and record the number of events and records that wait."""
        for entity, number in Count(state.entity for state in states).items():
            self._written.labels(entity).inc(number)
        self._lag.set(behind)
        self._awaited.set(awaited)
