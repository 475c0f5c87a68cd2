"""Metrics of the org: its sessions, outbound messages and limits, and its comparisons with the log."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge

from streamer.observe.series import LabelValues


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionMetrics:
    """Series of the sessions with Salesforce."""

    bytes: Counter
    handshakes: Counter
    lost_by_reason: Counter
    overdue_answers: Counter
    subscriptions: Counter
    label_values: LabelValues

    def handshaken(self) -> None:
        """Count an opened session."""
        self.handshakes.inc()

    def answered(self, events: int, size: int) -> None:  # noqa: ARG002 - events are counted when appended
        """Count an answer of `size` bytes that was read completely."""
        self.bytes.inc(size)

    def lost(self, reason: str) -> None:
        """Count a lost session; `reason` is one stable word, such as `unknown_client`."""
        self.lost_by_reason.labels(self.label_values.bounded(reason)).inc()

    def overdue(self) -> None:
        """Count an answer that did not arrive in time."""
        self.overdue_answers.inc()

    def subscribed(self, path: str) -> None:
        """Count a subscription that Salesforce accepted."""
        self.subscriptions.labels(path, "accepted").inc()

    def refused(self, path: str, error: str) -> None:  # noqa: ARG002 - its text is no label
        """Count a subscription that Salesforce refused."""
        self.subscriptions.labels(path, "refused").inc()


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboundMetrics:
    """Series of the endpoint for outbound messages."""

    requests: Counter
    repeats: Counter

    def expect(self, path: str, outcomes: Iterable[str]) -> None:
        """Create all outcomes' series of a channel with zero, so that `rate` sees the first request."""
        for outcome in outcomes:
            self.requests.labels(path, outcome)

    def answered(self, path: str, outcome: str) -> None:
        """Count a request; `path` is empty for an address that is not configured."""
        self.requests.labels(path, outcome).inc()

    def repeated(self, path: str, notifications: int) -> None:
        """Count notifications that the log already held."""
        self.repeats.labels(path).inc(notifications)


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
