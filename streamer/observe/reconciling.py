"""Metrics of the comparisons of the org with the log."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge


class ReconcileMetrics:
    """Series of the comparisons that this process makes, by entity; absent while another process does."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, says: str, *labels: str) -> Gauge:
            return Gauge(f"streamer_reconcile_{name}", says, labels, registry=registry)

        self._compared_at = gauge(
            "compared_timestamp_seconds",
            "Time of the last comparison of the org with the log, in seconds since the epoch.",
            "entity",
        )
        self._due_at = gauge(
            "due_timestamp_seconds",
            "Time at which the next comparison is due, in seconds since the epoch.",
            "entity",
        )
        self._differences = gauge(
            "differences", "Records in which the log differed at the last comparison.", "entity", "kind"
        )
        self._failures = Counter(
            "streamer_reconcile_failures",
            "Comparisons that could not be made.",
            ["entity"],
            registry=registry,
        )

    def compared(self, entity: str, at: float, counts: Mapping[str, int]) -> None:
        """Record a comparison at `at`, in epoch seconds, and the differences by kind."""
        self._compared_at.labels(entity).set(at)
        for kind, count in counts.items():
            self._differences.labels(entity, kind).set(count)

    def due(self, entity: str, at: float) -> None:
        """Record when the next comparison is due, in epoch seconds."""
        self._due_at.labels(entity).set(at)

    def failed(self, entity: str) -> None:
        """Count a comparison that could not be made."""
        self._failures.labels(entity).inc()

    def forgotten(self, entity: str) -> None:
        """Remove the series of an entity that this process compares no longer."""
        for series in (self._compared_at, self._due_at, self._differences, self._failures):
            series.remove_by_labels({"entity": entity})
