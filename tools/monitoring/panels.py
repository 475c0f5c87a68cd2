"""Panels of Grafana's dashboard: kinds, colours, and shared expressions."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

Steps = Sequence[tuple[float | None, str]]

GREEN: Steps = ((None, "green"),)
NONE_IS_GOOD: Steps = ((None, "green"), (1, "red"))
ONE_IS_GOOD: Steps = ((None, "red"), (1, "green"))
HOURS_LEFT: Steps = ((None, "red"), (8 * 3600, "orange"), (24 * 3600, "green"))
SHARE_LEFT: Steps = ((None, "red"), (0.2, "orange"), (0.4, "green"))

CHANNELS = 'job=~"$job", channel=~"$channel"'
SUBSCRIBERS = 'job=~"$job", subscriber=~"$subscriber"'
JOBS = 'job=~"$job"'


class Kind(Enum):
    """Types of panels, with Grafana's names."""

    STAT = "stat"
    GRAPH = "timeseries"
    STATES = "state-timeline"
    TABLE = "table"


@dataclass(frozen=True, slots=True)
class Query:
    """An expression, and its series' name in the legend."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel: its `queries`, and the display of their values.

    `unit` is one of Grafana's units. `words` replace the values 0, 1, …. `steps`
    gives a colour for values from a threshold on.
    """

    title: str
    says: str
    queries: Sequence[Query]
    kind: Kind = Kind.GRAPH
    unit: str = "short"
    width: int = 8
    words: Sequence[str] = ()
    steps: Steps = GREEN


def stat(title: str, says: str, expr: str, *, unit: str = "short", steps: Steps = GREEN) -> Panel:
    """Return a panel with one number."""
    query = Query(expr, title)
    return Panel(title=title, says=says, queries=[query], kind=Kind.STAT, unit=unit, width=4, steps=steps)


def graph(title: str, says: str, *queries: tuple[str, str], unit: str = "short") -> Panel:
    """Return a panel with a line for each series of `queries`, which are pairs of expression and legend."""
    return Panel(title=title, says=says, queries=[Query(*each) for each in queries], unit=unit)


def states(title: str, says: str, query: tuple[str, str], words: Sequence[str], steps: Steps) -> Panel:
    """Return a panel with the states of each series of `query`, a pair of expression and legend."""
    queries = [Query(*query)]
    return Panel(title=title, says=says, queries=queries, kind=Kind.STATES, words=words, steps=steps)


def rate(metric: str, labels: str, *by: str) -> str:
    """Return an expression for a counter's rate, summed by labels."""
    return f"sum by ({', '.join(by)}) (rate({metric}{{{labels}}}[$__rate_interval]))"


def increase(metric: str, labels: str, *by: str) -> str:
    """Return an expression for a counter's increase, summed by labels."""
    return f"sum by ({', '.join(by)}) (increase({metric}{{{labels}}}[$__rate_interval]))"


def quantile(share: float, metric: str, labels: str, *by: str) -> str:
    """Return an expression for a histogram's quantile, by labels."""
    return f"histogram_quantile({share}, {rate(f'{metric}_bucket', labels, *by, 'le')})"
