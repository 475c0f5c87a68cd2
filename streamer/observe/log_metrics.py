"""Metrics of the event log."""

from collections import Counter as Counts
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

from streamer.observe.series import LabelValues


class LogMetrics:
    """Series of the log, as this process sees it; each process shows the same dead letters."""

    def __init__(self, registry: CollectorRegistry, label_values: LabelValues) -> None:
        def gauge(name: str, says: str, *labels: str) -> Gauge:
            return Gauge(f"streamer_{name}", says, labels, registry=registry)

        self._label_values = label_values
        self._shown: set[tuple[str, str]] = set()
        self._waiting = gauge(
            "dead_letters_waiting",
            "Dead letters that wait; subscriber is empty for events that never reached the log.",
            "subscriber",
            "reason",
        )
        self._foreign = gauge(
            "foreign_records",
            "Records in Streamer's own part of the log that this process has left out, by topic or table.",
            "place",
        )
        self._aborted = Counter(
            "streamer_transactions_aborted",
            "Transactions of the log in Kafka that did not end with a commit; their records are never read.",
            registry=registry,
        )
        self._aborted_before = 0
        self._used = gauge("log_used_bytes", "Bytes of the embedded log in use.", "path")
        self._bound = gauge("log_max_bytes", "Bound of the embedded log: log.sqlite.max_bytes.", "path")
        self._free = gauge("log_disk_free_bytes", "Free bytes on the disk of the embedded log.", "path")

    def set_letters(self, letters: Mapping[tuple[str, str], int]) -> None:
        """Record the number of dead letters by subscriber and reason; no others are shown, save at zero."""
        counts = Counts[tuple[str, str]]()
        for (subscriber, reason), number in letters.items():
            counts[subscriber, self._label_values.bounded(reason)] += number
        # A series that ends can't be told from a process that has ended.
        self._shown |= counts.keys()
        for labels in self._shown:
            self._waiting.labels(*labels).set(counts[labels])

    def set_foreign(self, counts: Mapping[str, int]) -> None:
        """Record the number of foreign records by topic or table."""
        for place, number in counts.items():
            self._foreign.labels(place).set(number)

    def set_aborted(self, number: int) -> None:
        """Record how many transactions this process has aborted since its start."""
        self._aborted.inc(number - self._aborted_before)
        self._aborted_before = number

    def set_room(self, path: str, *, used: int, bound: int, free: int) -> None:
        """Record how much of its room the embedded log uses."""
        self._used.labels(path).set(used)
        self._bound.labels(path).set(bound)
        self._free.labels(path).set(free)
