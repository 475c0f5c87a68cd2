"""Live display of the demo on a terminal."""

from collections import deque
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from streamer.demo.report import DemoReport, Latency
from streamer.demo.scenario import BEFORE
from streamer.demo.world import World

_BARS = " ▁▂▃▄▅▆▇█"
_HISTORY = 48
# Borders, the headings, the log and the targets.
_FLOW_ROWS = 4 + len(BEFORE)
# A panel with fewer than two lines is useless.
_LEAST_PANEL = 4
# Larger numbers need no decimals.
_LARGE = 1000
_HEADINGS = ("expected", "arrived", "parked", "set aside", "due")
# Additional columns, each with the least terminal width that shows it.
_MORE_HEADINGS = {"p50 ms": 80, "p99 ms": 80, "breaker": 80, "repeated": 92, "early": 98}


class Screen:
    """Shows the counts of the org, the log and each target, the timeline and the latest deliveries.

    The display fills a terminal of any size. A narrow terminal shows fewer columns,
    and a low terminal fewer lines; the counts disappear last. The demo runs for
    `for_s` seconds, or until it is interrupted. Once it `is_over`, the column of
    due events shows lost events.
    """

    def __init__(self, world: World, *, for_s: float | None) -> None:
        self._world = world
        self._for_s = for_s
        self.is_over = False
        self._last = (0.0, 0)
        self._rates: deque[float] = deque(maxlen=_HISTORY)

    def tick(self) -> None:
        """Record the rate since the last tick."""
        now, appended = self._world.timeline.elapsed_s, self._world.accounts.tally.appended_ids.total()
        then, before = self._last
        if now > then:
            self._rates.append((appended - before) / (now - then))
        self._last = (now, appended)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        left = options.max_height - _FLOW_ROWS - 1
        yield Panel(
            self._flow(self._world.accounts.report(), width),
            title=f"Streamer, its log in {self._world.log}",
            subtitle=self._rate(width),
            height=_FLOW_ROWS,
        )
        deliveries = left // 2 if left >= 3 * _LEAST_PANEL else 0
        if left >= _LEAST_PANEL:
            yield _latest(
                self._world.timeline.lines,
                left - deliveries,
                title="Timeline",
                subtitle=self._world.letters_command,
            )
        if deliveries:
            yield _latest(
                self._world.accounts.tally.latest,
                deliveries,
                title="Latest deliveries",
                subtitle=self._world.console_url,
            )
        yield self._progress()

    def _flow(self, report: DemoReport, width: int) -> Table:
        table = Table(box=None, expand=True, header_style="bold", padding=(0, 1, 0, 0), pad_edge=False)
        table.add_column("", no_wrap=True)
        shown = [*_HEADINGS, *(heading for heading, least in _MORE_HEADINGS.items() if width >= least)]
        for heading in shown:
            is_lost = self.is_over and heading == "due"
            table.add_column("lost" if is_lost else heading, justify="right", no_wrap=True)
        in_log: dict[str, int | str] = {
            "expected": report.sent,
            "arrived": report.appended,
            "repeated": report.duplicates_in_log,
            "set aside": sum(letter.subscriber is None for letter in report.dead_letters),
            "due": report.lost_before_log if self.is_over else report.missing,
            **_latency(report.append_latency_ms),
        }
        table.add_row("→ log", *_cells(in_log, shown), style="cyan")
        for name, target in report.targets.items():
            status = self._world.daemon.dispatching.dispatchers[name].status
            counts: dict[str, int | str] = {
                "expected": target.expected,
                "arrived": target.delivered,
                "parked": status.parked,
                "repeated": target.repeated,
                "early": target.early,
                "set aside": target.set_aside,
                "due": target.lost if self.is_over else target.due,
                "breaker": "open" if status.is_down else "closed",
                **_latency(target.latency_ms),
            }
            style = "red" if status.is_down else "yellow" if status.parked else ""
            table.add_row(f"→ {name}", *_cells(counts, shown), style=style)
        return table

    def _rate(self, width: int) -> str:
        rates = list(self._rates)[-max(0, min(_HISTORY, width - 24)) :]
        peak = max(rates, default=0.0) or 1.0
        line = "".join(_BARS[round(rate / peak * (len(_BARS) - 1))] for rate in rates)
        return f"{line} {rates[-1] if rates else 0:.0f} events/s"

    def _progress(self) -> RenderableType:
        elapsed_s = self._world.timeline.elapsed_s
        if self._for_s is None:
            return Text(f"running for {elapsed_s:.0f} s; Ctrl-C stops it", style="dim", no_wrap=True)
        return ProgressBar(total=self._for_s, completed=min(elapsed_s, self._for_s))


def _latest(lines: Iterable[str], height: int, *, title: str, subtitle: str | None = None) -> Panel:
    shown = Text("\n".join(list(lines)[2 - height :]), no_wrap=True, overflow="ellipsis")
    return Panel(shown, title=title, subtitle=subtitle, height=height)


def _latency(latency: Latency) -> dict[str, str]:
    return {"p50 ms": _number(latency.p50), "p99 ms": _number(latency.p99)}


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= _LARGE else f"{value:.1f}"


def _cells(values: dict[str, int | str], shown: list[str]) -> list[str]:
    found = [values.get(heading, "") for heading in shown]
    return [f"{value:,}" if isinstance(value, int) else value for value in found]
