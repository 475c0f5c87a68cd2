"""Writes the catalogue of metrics: `python -m tools.monitoring.metrics_reference`.

`docs/metrics.md` is generated from the metrics that `streamer.observe.metrics`
declares, and from the descriptions of label values in this module.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import Counter, Gauge, Histogram, Info
from prometheus_client.metrics import MetricWrapperBase

from streamer.clock import TurnedClock
from streamer.continuity.reconciling import DriftKind
from streamer.events import FailureClass, HoleCause, Stage
from streamer.observe.metrics import OUTCOMES, Metrics
from streamer.observe.series import (
    CALL_RESULTS,
    DISPATCH_LETTERS,
    INGEST_LETTERS,
    LOOKUP_RESULTS,
    SPAN_RESULTS,
    TEXT_RESULTS,
)
from streamer.quota import OrgLimit
from streamer.salesforce.outbound.envelope import EndpointOutcome as OutboundOutcome
from streamer.supervision.monitor import PartKind

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"

_INTRODUCTION = Path(__file__).with_suffix(".md")
_TYPES: dict[type[MetricWrapperBase], str] = {
    Counter: "counter",
    Gauge: "gauge",
    Histogram: "histogram",
    Info: "gauge, always 1",
}
_ENDINGS: dict[type[MetricWrapperBase], str] = {Counter: "_total", Info: "_info"}
_UNITS = {
    "_timestamp_seconds": "seconds since the epoch",
    "_seconds": "seconds",
    "_bytes": "bytes",
    "_events": "events",
    "_records": "records",
}
_GROUPS = (
    ("Channels", "channel"),
    ("Subscribers", "subscriber"),
    ("The org's limits", "limit"),
)
_OTHER = "The process and its sessions"
_ADMITTED = "or another lower-case word; after 64 different words, `other`"


@dataclass(frozen=True, slots=True)
class Values:
    """Possible values of a label: a closed set, and a phrase for all other values, if any."""

    closed: Sequence[str] = ()
    source: str = ""

    def __str__(self) -> str:
        words = [f"`{value}`" for value in self.closed]
        return "; ".join(filter(None, [", ".join(words), self.source]))


_CHANNEL = Values(source="paths of the configuration's channels")
_SUBSCRIBER = Values(source="names of the configuration's subscribers")
VALUES = {
    ("", "channel"): _CHANNEL,
    ("outbound_requests", "channel"): Values(
        source="paths of the configured channels; empty for an unknown address"
    ),
    ("", "subscriber"): _SUBSCRIBER,
    ("dead_letters", "subscriber"): Values(
        source="names of the configured subscribers; empty if `stage` is `ingest`"
    ),
    ("dead_letters_waiting", "subscriber"): Values(
        source="names of subscribers with dead letters; empty for dead letters of ingest"
    ),
    ("dead_letters_waiting", "reason"): Values(
        tuple(dict.fromkeys(INGEST_LETTERS + DISPATCH_LETTERS)), _ADMITTED
    ),
    ("foreign_records", "place"): Values(
        source="names of Streamer's own topics, or of tables of the log's file"
    ),
    ("", "path"): Values(source="the path of the log's file"),
    ("", "topic"): Values(source="names of the state topics"),
    ("event_loop_blocked", "subscriber"): Values(
        source="names of the configured subscribers; empty if no plugin blocked the loop"
    ),
    ("session_subscriptions", "outcome"): Values(("accepted", "refused")),
    ("deliveries", "outcome"): Values(tuple(kind.__name__.lower() for kind in OUTCOMES)),
    ("outbound_requests", "outcome"): Values(tuple(OutboundOutcome)),
    ("session_lost", "reason"): Values(
        source="a lower-case word, such as `overdue` or `unknown_client`; after 64 different words, `other`"
    ),
    ("dead_letters", "reason"): Values(tuple(dict.fromkeys(INGEST_LETTERS + DISPATCH_LETTERS)), _ADMITTED),
    ("dead_letters", "stage"): Values(tuple(Stage)),
    ("failed_attempts", "error"): Values(tuple(FailureClass)),
    ("", "cause"): Values(tuple(HoleCause)),
    ("large_text_diffs", "result"): Values(TEXT_RESULTS),
    ("lookups", "result"): Values(LOOKUP_RESULTS),
    ("lookup_calls", "result"): Values(CALL_RESULTS),
    ("trace_spans", "result"): Values(SPAN_RESULTS),
    ("", "entity"): Values(source="entities of the configuration's `reconcile`"),
    ("reconcile_differences", "kind"): Values(tuple(DriftKind)),
    ("", "limit"): Values(tuple(OrgLimit)),
    ("poll_age_seconds", "thread"): Values(
        source="names of this process's log threads: one or a few; with Kafka also one for each "
        "subscriber and each owned partition of the checkpoint topic"
    ),
    ("stuck", "kind"): Values(tuple(PartKind)),
    ("stuck", "name"): Values(source="names of threads (as in `thread`), channels and subscribers"),
    ("build", "version"): Values(source="Streamer's version"),
    ("build", "python"): Values(source="Python's version"),
}
"""Values of each label, by the metric's name without `streamer_`, and for all other metrics."""


@dataclass(frozen=True, slots=True)
class Declared:
    """One metric: its scraped `name`, its declared `family`, and its description."""

    name: str
    family: str
    kind: str
    labels: tuple[str, ...]
    says: str
    buckets: tuple[float, ...] = ()

    @property
    def unit(self) -> str:
        """Unit of the metric's values."""
        if self.says.startswith("1 while"):
            return "0 or 1"
        unit = next((unit for ending, unit in _UNITS.items() if self.family.endswith(ending)), "")
        return unit or ("" if self.name.endswith("_info") else "count")


def declared() -> list[Declared]:
    """Return all of Streamer's own metrics, in the order of declaration."""
    registry = Metrics(clock=TurnedClock()).registry
    # The client library has no public access to the labels of a metric without series.
    collectors = registry._collector_to_names  # noqa: SLF001 - there is no public way
    return [_declared(each) for each in collectors if isinstance(each, MetricWrapperBase)]


def _declared(metric: MetricWrapperBase) -> Declared:
    kind = next(each for each in _TYPES if isinstance(metric, each))
    [family] = metric.describe()
    labels = ("version", "python") if kind is Info else tuple(metric._labelnames)  # noqa: SLF001 - as above
    return Declared(
        name=family.name + _ENDINGS.get(kind, ""),
        family=family.name,
        kind=_TYPES[kind],
        labels=labels,
        says=family.documentation,
        buckets=tuple(metric._kwargs.get("buckets", ())),  # noqa: SLF001 - as above
    )


def values(metric: Declared, label: str) -> Values:
    """Return the values of a label. Raises `KeyError` for a label without a description here."""
    family = metric.family.removeprefix("streamer_")
    return VALUES.get((family, label)) or VALUES["", label]


def text() -> str:
    """Return the page."""
    metrics = declared()
    grouped: dict[str, list[Declared]] = {name: [] for name in (*dict(_GROUPS), _OTHER)}
    for each in metrics:
        group = next((name for name, label in _GROUPS if label in each.labels), _OTHER)
        grouped[group].append(each)
    parts = [_INTRODUCTION.read_text(encoding="utf-8").rstrip("\n")]
    parts += [f"## {name}\n\n{_table(group)}" for name, group in grouped.items()]
    parts.append(f"## Labels\n\n{_labels(metrics)}")
    return "\n\n".join(parts) + "\n"


def _table(metrics: Sequence[Declared]) -> str:
    rows = (
        f"| `{each.name}` | {each.kind} | {each.unit} | {_words(each.labels)} | {each.says}{_buckets(each)} |"
        for each in metrics
    )
    return "\n".join(["| metric | type | unit | labels | meaning |", "|---|---|---|---|---|", *rows])


def _labels(metrics: Sequence[Declared]) -> str:
    using: dict[tuple[str, str], list[str]] = {}
    for each in metrics:
        for label in each.labels:
            using.setdefault((label, str(values(each, label))), []).append(each.name)
    rows = (f"| `{label}` | {_of(names)} | {says} |" for (label, says), names in sorted(using.items()))
    return "\n".join(["| label | of | values |", "|---|---|---|", *rows])


def _of(names: Sequence[str]) -> str:
    few = 3
    return _words(names) if len(names) <= few else f"{len(names)} metrics"


def _buckets(metric: Declared) -> str:
    return f" Buckets: {', '.join(f'{each:g}' for each in metric.buckets)}" if metric.buckets else ""


def _words(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def files() -> Iterator[tuple[Path, str]]:
    """Yield the path and the text of the generated file."""
    yield PAGE, text()


def main() -> None:
    """Write the page."""
    for path, made in files():
        path.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
