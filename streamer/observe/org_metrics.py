"""Metrics of the org: its limits, and its comparisons with the log."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge


class OrgLimitMetrics:
    """Series of the org's known limits, by Salesforce's names.

    These series are absent while the limits are unread.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, says: str) -> Gauge:
            return Gauge(f"streamer_org_limit_{name}", says, ["limit"], registry=registry)

        self._most = gauge(
            "max", "Maximum of an org limit; the label limit is Salesforce's name of the limit."
        )
        self._remaining = gauge(
            "remaining", "Remaining amount of an org limit; the number is at most five minutes old."
        )
        self._read_at = gauge(
            "read_timestamp_seconds",
            "Time at which Streamer last read the org limit, in seconds since the epoch.",
        )
        self._used_up_at = gauge(
            "used_up_timestamp_seconds",
            "Time at which the org limit will be used up at the rate of the last hour, in seconds since "
            "the epoch; absent without a forecast.",
        )
        self._read: frozenset[str] = frozenset()

    def limits_read(self, limits: Mapping[str, tuple[int, int]], at: float) -> None:
        """Record the maximum and the remainder of all limits, read at `at` in epoch seconds."""
        self._remove(self._read - limits.keys())
        self._read = frozenset(limits)
        for name, (most, remaining) in limits.items():
            self._most.labels(name).set(most)
            self._remaining.labels(name).set(remaining)
            self._read_at.labels(name).set(at)

    def used_up(self, limit: str, at: float | None) -> None:
        """Record the forecast time of one limit, in epoch seconds, or `None` without a forecast."""
        if at is None:
            self._used_up_at.remove_by_labels({"limit": limit})
        else:
            self._used_up_at.labels(limit).set(at)

    def forgotten(self) -> None:
        """Remove all series, because this process no longer reads the limits."""
        self._remove(self._read)
        self._read = frozenset()
        self._used_up_at.clear()

    def _remove(self, names: frozenset[str]) -> None:
        for name in names:
            for gauge in (self._most, self._remaining, self._read_at):
                gauge.remove(name)


class ReconcileMetrics:
    """Series of the comparisons by this process, by entity.

    These series are absent while another process compares.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, says: str, *labels: str) -> Gauge:
            return Gauge(f"streamer_reconcile_{name}", says, labels, registry=registry)

        self._compared_at = gauge(
            "compared_timestamp_seconds",
            "Time at which Streamer last compared the org with the log, in seconds since the epoch.",
            "entity",
        )
        self._due_at = gauge(
            "due_timestamp_seconds",
            "Time at which the next comparison is due, in seconds since the epoch.",
            "entity",
        )
        self._differences = gauge(
            "differences",
            "Records that differed between the org and the log at the last comparison.",
            "entity",
            "kind",
        )
        self._failures = Counter(
            "streamer_reconcile_failures",
            "Failed comparisons.",
            ["entity"],
            registry=registry,
        )

    def compared(self, entity: str, at: float, counts: Mapping[str, int]) -> None:
        """Record a comparison at `at`, in epoch seconds, with the number of differences by kind."""
        self._compared_at.labels(entity).set(at)
        for kind, count in counts.items():
            self._differences.labels(entity, kind).set(count)

    def due(self, entity: str, at: float) -> None:
        """Record the time of the next comparison, in epoch seconds."""
        self._due_at.labels(entity).set(at)

    def failed(self, entity: str) -> None:
        """Count a failed comparison."""
        self._failures.labels(entity).inc()

    def forgotten(self, entity: str) -> None:
        """Remove the series of an entity that this process no longer compares."""
        for series in (self._compared_at, self._due_at, self._differences, self._failures):
            series.remove_by_labels({"entity": entity})
