"""Live display of the demo on a terminal."""

from collections import deque

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from streamer.clock import Clock
from streamer.demo.report import Report
from streamer.demo.world import World

_BARS = " ▁▂▃▄▅▆▇█"
_HISTORY = 48


class Screen:
    """Shows the counts of the org, the log and each target, latencies and the latest deliveries.

    The demo runs for `for_s` seconds, or until it is interrupted.
    """

    def __init__(self, world: World, clock: Clock, *, for_s: float | None) -> None:
        self._world = world
        self._clock = clock
        self._for_s = for_s
        self._began = clock.monotonic()
        self._last = (self._began, 0)
        self._rates: deque[float] = deque(maxlen=_HISTORY)

    def tick(self) -> None:
        """Record the rate since the last tick."""
        now, appended = self._clock.monotonic(), self._world.tally.appended_ids.total()
        then, before = self._last
        if now > then:
            self._rates.append((appended - before) / (now - then))
        self._last = (now, appended)

    def __rich__(self) -> RenderableType:
        report = self._world.report()
        return Group(
            Panel(self._flow(report), title="Streamer", subtitle=self._subtitle(report), padding=(1, 2)),
            Panel(
                Text("\n".join(self._world.tally.latest) or "…"), title="Latest deliveries", padding=(0, 2)
            ),
            self._progress(),
        )

    def _flow(self, report: Report) -> Table:
        table = Table(box=None, expand=True, header_style="bold")
        table.add_column("")
        for heading in ("expected", "arrived", "repeated", "lost", "p50 ms", "p99 ms"):
            table.add_column(heading, justify="right")
        latency = report.append_latency_ms
        table.add_row(
            f"Salesforce → log ({self._world.log})",
            f"{report.sent:,}",
            f"{report.appended:,}",
            f"{report.duplicates_in_log:,}",
            f"{max(0, report.sent - report.appended):,}",
            f"{latency.p50:.1f}",
            f"{latency.p99:.1f}",
            style="cyan",
        )
        for name, target in report.targets.items():
            table.add_row(
                f"log → {name}",
                f"{target.expected:,}",
                f"{target.delivered:,}",
                f"{target.repeated:,}",
                f"{target.lost:,}",
                f"{target.latency_ms.p50:.1f}",
                f"{target.latency_ms.p99:.1f}",
            )
        return table

    def _subtitle(self, report: Report) -> str:
        peak = max(self._rates, default=0.0) or 1.0
        line = "".join(_BARS[round(rate / peak * (len(_BARS) - 1))] for rate in self._rates)
        rate = self._rates[-1] if self._rates else 0.0
        return f"{line} {rate:.0f} events/s, {report.dead_letters} set aside"

    def _progress(self) -> RenderableType:
        elapsed = self._clock.monotonic() - self._began
        if self._for_s is None:
            return Text(f"running for {elapsed:.0f} s; Ctrl-C stops it", style="dim")
        return ProgressBar(total=self._for_s, completed=min(elapsed, self._for_s))
