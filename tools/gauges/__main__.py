"""`make gauges`: prints measures of the code's size beside their limits."""

import argparse
import asyncio
import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from tools.gauges import source
from tools.gauges.way import trace

_ROOT = Path(__file__).parents[2]
_SANDBOX = "streamer/sandbox/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """One number, its limit, and its details."""

    name: str
    value: float
    most: float | None = None
    detail: Sequence[str] = ()

    @property
    def holds(self) -> bool:
        """True if the number is within its limit."""
        return self.most is None or self.value <= self.most

    def __str__(self) -> str:
        target = "" if self.most is None else f"at most {self.most:,g}"
        return f"{self.name:48}{self.value:>10,g}  {target:16}{'' if self.holds else '  too many'}".rstrip()


def of_source(root: Path) -> Iterator[Gauge]:
    """Yield the gauges of the source at `root`."""
    everything = source.modules(root, "streamer", "subscribers")
    daemon = [each for each in everything if each.path.startswith("streamer/") and _SANDBOX not in each.path]
    wide, twice = source.wide_dataclasses(daemon), source.names_used_twice(everything)
    lengths = source.function_lengths(everything)
    files = {module.path: module.lines for module in everything}
    function, file = source.longest(lengths), source.longest(files)
    folder = source.longest(source.files_of_folders(everything))
    yield Gauge(name="files in streamer/ without the sandbox", value=len(daemon), most=520)
    yield Gauge(name="lines in these files", value=sum(each.lines for each in daemon), most=69_200)
    yield Gauge(
        name="dataclasses with nine or more fields, not values",
        value=len(wide),
        most=0,
        detail=wide,
    )
    yield Gauge(name="names of public classes used twice", value=len(twice), most=0, detail=twice)
    yield Gauge(name="lines of the median function", value=source.median_length(lengths), most=8)
    yield Gauge(name="lines of the longest function", value=function[1], most=50, detail=function[:1])
    yield Gauge(name="lines of the longest file", value=file[1], most=400, detail=file[:1])
    yield Gauge(name="files in the fullest folder", value=folder[1], most=15, detail=folder[:1])


def of_an_event() -> Iterator[Gauge]:
    """Yield the gauges of one event's way through the code."""
    way = asyncio.run(trace())
    yield Gauge(
        name="files of an event, Pub/Sub to commit", value=len(way.ingest), most=25, detail=way.ingest
    )
    yield Gauge(
        name="files of a delivery, log to target", value=len(way.delivery), most=25, detail=way.delivery
    )


def main() -> None:
    """Print the gauges. With `--check`, exit with 1 when a number exceeds its limit."""
    parser = argparse.ArgumentParser(prog="gauges", description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit with 1 when a number exceeds its limit")
    parser.add_argument("--detail", action="store_true", help="list the counted items")
    asked = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    all_hold = True
    for gauge in (*of_an_event(), *of_source(_ROOT)):
        print(gauge)
        if asked.detail:
            for each in gauge.detail:
                print(f"    {each}")
        all_hold = all_hold and gauge.holds
    sys.exit(asked.check and not all_hold)


if __name__ == "__main__":
    main()
