"""The command `streamer demo`."""

import asyncio
import os
import re
import tempfile
import uuid
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.live import Live

from streamer.cli.failure import failures_reported
from streamer.cli.signals import until_signalled
from streamer.clock import SystemClock
from streamer.demo.report import Report
from streamer.demo.screen import Screen
from streamer.demo.world import DemoOptions, World, demo_world, settled
from streamer.observe import logs

_FRAME_S = 0.25
_LINE_S = 5.0
_WIDTH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class DisplayOptions:
    """Options of the display: its duration, and the file of the last picture."""

    for_s: float | None
    svg: Path | None


def seconds(text: str) -> float:
    """Return the seconds of `20s`, `5m`, `1h` or a plain number. Raises `typer.BadParameter`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h)?", text)
    if not match or not float(match[1]):
        raise typer.BadParameter("write a duration such as 20s, 5m or 1h")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2] or "s"]


def demo(
    for_: Annotated[
        float | None,
        typer.Option(
            "--for",
            parser=seconds,
            metavar="DURATION",
            help="Stop after 20s, 5m or 1h.  [default: at Ctrl-C]",
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the counts to this JSON file.  [default: none]")
    ] = None,
    svg: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keep the last picture in this SVG file.  [default: none]"),
    ] = None,
    rate: Annotated[
        float, typer.Option(min=0.1, max=500, metavar="NUMBER", help="Changes in the org, per second.")
    ] = 20.0,
    kafka: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Keep the log in this Kafka.  [default: SQLite]")
    ] = None,
) -> None:
    """Show the whole flow on this machine: a local org, the daemon and three targets.

    Exits 0 only if no event was lost and none was in the log twice.
    """
    logs.configure("auto", "error")
    found: list[Report] = []

    async def work(stopping: asyncio.Event) -> None:
        with tempfile.TemporaryDirectory(prefix="streamer-demo-") as directory:
            options = DemoOptions(
                per_second=rate,
                directory=Path(directory),
                kafka=kafka,
                prefix=f"streamer-demo-{uuid.uuid4().hex[:8]}",
            )
            found.append(await _play(options, DisplayOptions(for_s=for_, svg=svg), stopping))

    with failures_reported():
        asyncio.run(until_signalled(work))
    if not found:
        raise typer.Exit(1)
    _conclude(found[0], report)


async def _play(options: DemoOptions, display: DisplayOptions, stopping: asyncio.Event) -> Report:
    clock = SystemClock()
    console = Console(record=display.svg is not None)
    async with demo_world(options, clock) as world, asyncio.TaskGroup() as group:
        scenario = group.create_task(world.scenario.run(), name="scenario")
        drawing = group.create_task(_show(world, clock, console, display), name="screen")
        with suppress(TimeoutError):
            async with clock.timeout(display.for_s):
                await stopping.wait()
        scenario.cancel()
        await settled(world, clock)
        drawing.cancel()
    return world.report()


async def _show(world: World, clock: SystemClock, console: Console, display: DisplayOptions) -> None:
    screen = Screen(world, clock, for_s=display.for_s)
    with ExitStack() as stack:
        if console.is_terminal:
            live = stack.enter_context(Live(screen, console=console, auto_refresh=False, transient=True))
        stack.callback(_keep_picture, screen, display.svg)
        last_line = clock.monotonic()
        while True:
            screen.tick()
            if console.is_terminal:
                live.refresh()
            elif clock.monotonic() - last_line >= _LINE_S:
                last_line = clock.monotonic()
                console.print(_line(world.report()))
            await clock.sleep(_FRAME_S)


def _keep_picture(screen: Screen, svg: Path | None) -> None:
    if svg is not None:
        with Path(os.devnull).open("w") as nowhere:
            canvas = Console(record=True, width=_WIDTH, file=nowhere, force_terminal=True)
            canvas.print(screen)
            picture = canvas.export_svg(title="streamer demo")
        # A viewer of the picture must not load fonts from a server.
        svg.write_text(re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL), encoding="utf-8")


def _line(report: Report) -> str:
    delivered = ", ".join(f"{name} {target.delivered}" for name, target in report.targets.items())
    return f"sent {report.sent}, in the log {report.appended}, delivered: {delivered}"


def _conclude(report: Report, path: Path | None) -> None:
    if path is not None:
        path.write_bytes(orjson.dumps(report.as_json(), option=orjson.OPT_INDENT_2) + b"\n")
    console = Console(highlight=False)
    console.print(f"{_line(report)}; lost {report.lost}, twice in the log {report.duplicates_in_log}.")
    latency = report.append_latency_ms
    console.print(f"From the commit in Salesforce to the log: p50 {latency.p50} ms, p99 {latency.p99} ms.")
    if not report.sent or report.lost or report.duplicates_in_log or report.dead_letters:
        raise typer.Exit(1)
