"""Metrics of the event log."""

from collections import Counter as Counts
from collections.abc import Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter

from streamer.observe.series import Declarations, LabelValues
from streamer.ports import StateRebuild


class LogMetrics:
    """Series of the log, as this process sees it. All processes show the same dead letters."""

    def __init__(self, registry: CollectorRegistry, label_values: LabelValues) -> None:
        gauge = Declarations(registry).gauge
        self._label_values = label_values
        self._shown: set[tuple[str, str]] = set()
        self._waiting = gauge(
            "dead_letters_waiting",
            "Dead letters in the log; the label subscriber is empty for events that never reached the log.",
            "subscriber",
            "reason",
        )
        self._foreign = gauge(
            "foreign_records",
            "Records in Streamer's topics or tables that Streamer did not write; this process ignores them.",
            "place",
        )
        self._aborted = Counter(
            "streamer_transactions_aborted",
            "Transactions that Kafka aborted; consumers never see the records of an aborted transaction.",
            registry=registry,
        )
        self._aborted_before = 0
        self._rebuilt = gauge(
            "state_rebuild_records",
            "Records that this process has read from a state topic into its local copy, since its start.",
            "topic",
        )
        self._rebuilding = gauge(
            "state_rebuild_remaining_offsets",
            "Offsets of a state topic that this process still has to read before it keeps these states.",
            "topic",
        )
        self._schema_failures = Counter(
            "streamer_schema_registry_failures",
            "Requests that the schema registry did not answer.",
            registry=registry,
        )
        self._schema_failures_before = 0
        self._used = gauge("log_used_bytes", "Used bytes of the SQLite log.", "path")
        self._bound = gauge("log_max_bytes", "Maximum size of the SQLite log: log.sqlite.max_bytes.", "path")
        self._free = gauge("log_disk_free_bytes", "Free bytes on the disk of the SQLite log.", "path")

    def set_letters(self, letters: Mapping[tuple[str, str], int]) -> None:
        """Record the number of dead letters by subscriber and reason.

        A series whose dead letters are all gone stays, with the value zero.
        """
        counts = Counts[tuple[str, str]]()
        for (subscriber, reason), number in letters.items():
            counts[subscriber, self._label_values.bounded(reason)] += number
        # Zero, because a series that disappears looks like a process that has ended.
        self._shown |= counts.keys()
        for labels in self._shown:
            self._waiting.labels(*labels).set(counts[labels])

    def set_foreign(self, counts: Mapping[str, int]) -> None:
        """Record the number of foreign records by topic or table."""
        for place, number in counts.items():
            self._foreign.labels(place).set(number)

    def set_aborted(self, number: int) -> None:
        """Record the number of transactions that this process has aborted since its start."""
        self._aborted.inc(number - self._aborted_before)
        self._aborted_before = number

    def set_rebuilds(self, rebuilds: Sequence[StateRebuild]) -> None:
        """Record the progress of the readings of state topics into local copies."""
        for each in rebuilds:
            self._rebuilt.labels(each.topic).set(each.records)
            self._rebuilding.labels(each.topic).set(each.remaining)

    def set_schema_failures(self, number: int) -> None:
        """Record the number of requests since the start that the schema registry did not answer."""
        self._schema_failures.inc(number - self._schema_failures_before)
        self._schema_failures_before = number

    def set_room(self, path: str, *, used: int, bound: int, free: int) -> None:
        """Record the used, maximum and free bytes of the SQLite log at `path`."""
        self._used.labels(path).set(used)
        self._bound.labels(path).set(bound)
        self._free.labels(path).set(free)
