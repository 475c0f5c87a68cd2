"""Panels of Grafana's dashboard: their kinds, their colours, and the expressions that many of them share."""

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
    """Types of panels, by Grafana's names."""

    STAT = "stat"
    GRAPH = "timeseries"
    STATES = "state-timeline"
    TABLE = "table"


@dataclass(frozen=True, slots=True)
class Query:
    """An expression, and the name of its series in the legend."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel: its `queries`, and how their values are shown.

    `unit` is one of Grafana's; `words` are shown instead of 0, 1, …; and
    `steps` are the colours from a value on.
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
    """Return a panel with lines, one for each series of `queries`, which are expressions and legends."""
    return Panel(title=title, says=says, queries=[Query(*each) for each in queries], unit=unit)


def states(title: str, says: str, query: tuple[str, str], words: Sequence[str], steps: Steps) -> Panel:
    """Return a panel with the states of each series of `query`, an expression and a legend."""
    queries = [Query(*query)]
    return Panel(title=title, says=says, queries=queries, kind=Kind.STATES, words=words, steps=steps)


def rate(metric: str, labels: str, *by: str) -> str:
    """Return an expression for the rate of a counter, added up by labels."""
    return f"sum by ({', '.join(by)}) (rate({metric}{{{labels}}}[$__rate_interval]))"


def increase(metric: str, labels: str, *by: str) -> str:
    """Return an expression for the increase of a counter, added up by labels."""
    return f"sum by ({', '.join(by)}) (increase({metric}{{{labels}}}[$__rate_interval]))"


def quantile(share: float, metric: str, labels: str, *by: str) -> str:
    """Return an expression for a quantile of a histogram, by labels."""
    return f"histogram_quantile({share}, {rate(f'{metric}_bucket', labels, *by, 'le')})"
