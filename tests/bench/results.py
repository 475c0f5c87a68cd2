"""The results of a run, for people and for scripts."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table


class Unequal(Exception):
    """What Streamer is compared with does not do the same: mend it before you believe a ratio."""


class Row(NamedTuple):
    """One line of a table."""

    what: str
    measured: str
    aim: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """A figure divided by another that was measured in turn with it, once for each round.

    Machines differ by a factor of two from day to day; this does not.
    """

    what: str
    each: Sequence[float]
    aim: str = ""

    @property
    def median(self) -> float:
        """The middle one."""
        return median(self.each)

    def row(self) -> Row:
        """Return the line of a table."""
        return Row(self.what, measured(self.each, "{:.2f}"), self.aim)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part(ABC):
    """The results of one part of the bench."""

    @property
    @abstractmethod
    def complete(self) -> bool:
        """Whether nothing was lost, repeated or in disorder."""

    def ratios(self) -> Sequence[Ratio]:
        """Return what counts: ours beside another's."""
        return ()

    @abstractmethod
    def figures(self) -> Sequence[Row]:
        """Return what was measured, of this machine at this moment."""

    def as_json(self) -> dict[str, Any]:
        """Return everything."""
        ratios = [{**asdict(ratio), "median": ratio.median} for ratio in self.ratios()]
        return {**asdict(self), "complete": self.complete, "ratios": ratios}


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """One run of the bench: the machine, and each part by its name."""

    machine: Mapping[str, str]
    parts: Mapping[str, Part]

    @property
    def complete(self) -> bool:
        """Whether every part is."""
        return all(part.complete for part in self.parts.values())

    def as_json(self) -> dict[str, Any]:
        """Return everything."""
        parts = {name: part.as_json() for name, part in self.parts.items()}
        return {"machine": dict(self.machine), **parts, "complete": self.complete}

    def show(self, console: Console) -> None:
        """Print the ratios, and then what they are made of."""
        ratios = [ratio.row() for part in self.parts.values() for ratio in part.ratios()]
        if ratios:
            self._print(console, "Ratios", "ratio: median (each round)", ratios)
        figures = [row for part in self.parts.values() for row in part.figures()]
        self._print(console, "Figures of this machine, as busy as it was", "measured", figures)

    def _print(self, console: Console, title: str, heading: str, rows: Sequence[Row]) -> None:
        machine = ", ".join(f"{name} {value}" for name, value in self.machine.items())
        table = Table(title=title, caption=machine, title_justify="left", caption_justify="left")
        table.add_column("what")
        table.add_column(heading, justify="right")
        table.add_column("aim", justify="right")
        for row in rows:
            table.add_row(*row)
        console.print(table)


def measured(each: Sequence[float], form: str) -> str:
    """Return the median of `each` in `form`, and each of several behind it without the unit."""
    number, space, unit = form.partition(" ")
    shown = f" ({' '.join(number.format(one) for one in each)})" if len(each) > 1 else ""
    return number.format(median(each)) + space + unit + shown
