"""The command `streamer demo`."""

import asyncio
import os
import re
import sys
import tempfile
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.live import Live

from streamer.cli.output import failures_reported
from streamer.cli.signals import until_signalled
from streamer.clock import SystemClock
from streamer.demo.report import DemoReport
from streamer.demo.screen import Screen
from streamer.demo.settling import settle
from streamer.demo.world import DemoOptions, Outage, World, demo_world, inject_faults
from streamer.observe import logs

_FRAME_S = 0.25
_LINE_S = 1.0
_WIDTH, _HEIGHT = 100, 32
_LETTERS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class DisplayOptions:
    """Options of the display: its duration, and the file of the last picture."""

    for_s: float | None
    svg: Path | None


def seconds(text: str) -> float:
    """Return the seconds in `text`: `20s`, `5m`, `1h` or a plain number. Raises `typer.BadParameter`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h)?", text)
    if not match or not float(match[1]):
        raise typer.BadParameter("write a duration such as 20s, 5m or 1h")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2] or "s"]


def writable(path: Path | None) -> Path | None:
    """Return `path`; raise `typer.BadParameter` if the file can't be written."""
    if path is not None and (path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK)):
        raise typer.BadParameter(f"{path} can't be written: name a file in a folder that you can write to")
    return path


ReportFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", callback=writable, help="Write the counts to this JSON file.  [default: none]"
    ),
]
PictureFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", callback=writable, help="Write the last screen to this SVG file.  [default: none]"
    ),
]


def demo(
    for_: Annotated[
        float | None,
        typer.Option(
            "--for",
            parser=seconds,
            metavar="DURATION",
            help="Stop after this duration, such as 20s, 5m or 1h.  [default: at Ctrl-C]",
        ),
    ] = None,
    report: ReportFile = None,
    svg: PictureFile = None,
    rate: Annotated[
        float,
        typer.Option(min=0.1, max=500, metavar="NUMBER", help="Number of changes per second in the org."),
    ] = 20.0,
    kafka: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Keep the log in Kafka at this address.  [default: SQLite]"),
    ] = None,
) -> None:
    """Show the whole flow on this machine: a local org, the daemon and its targets.

    The demo's org wins opportunities. Each opportunity gets an invoice in the ERP,
    then a shipment. Then Salesforce gets the numbers of the invoice and the
    shipment. Slack announces large opportunities. After 20 seconds, the ERP goes
    down for ten seconds, and fulfilment rejects one shipment for good. In a short
    demo, the outage and the rejection happen earlier. A slow machine wins fewer
    opportunities. At the end, the demo waits for late deliveries. The demo exits 0
    only if every event arrived, the log holds no event twice, every step happened
    once and in its order, and only the rejected shipment became a dead letter.
    """
    logs.configure("auto", "error")
    found: list[DemoReport] = []

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


async def _play(options: DemoOptions, display: DisplayOptions, stopping: asyncio.Event) -> DemoReport:
    clock = SystemClock()
    async with demo_world(options, clock) as world, asyncio.TaskGroup() as group:
        outage = Outage.within(display.for_s)
        acting = [
            group.create_task(world.accounts.scenario.run(), name="scenario"),
            group.create_task(inject_faults(world, outage, clock), name="faults"),
        ]
        drawing = group.create_task(_show(world, clock, display, stopping), name="screen")
        with suppress(TimeoutError):
            async with clock.timeout(display.for_s):
                await stopping.wait()
        for task in acting:
            task.cancel()
        await settle(world, clock)
        # The last frame shows the result.
        await clock.sleep(2 * _FRAME_S)
        drawing.cancel()
    return world.accounts.report()


async def _show(world: World, clock: SystemClock, display: DisplayOptions, stopping: asyncio.Event) -> None:
    console = Console(highlight=False)
    screen = Screen(world, for_s=display.for_s)
    try:
        # With FORCE_COLOR, rich treats a pipe as a terminal.
        if sys.stdout.isatty() and not console.is_dumb_terminal:
            await _draw(world, screen, console, clock)
        else:
            await _print_lines(world, screen, console, clock)
    except SystemExit:
        # Rich raises SystemExit when the reader of the pipe, such as `head`, has ended.
        stopping.set()
    finally:
        screen.is_over = True
        _keep_picture(screen, display.svg)


async def _draw(world: World, screen: Screen, console: Console, clock: SystemClock) -> None:
    # The alternate screen keeps no old frame after a change of size, and restores the shell's
    # lines.
    with Live(screen, console=console, auto_refresh=False, screen=True) as live:
        while True:
            world.observe()
            screen.tick()
            live.refresh()
            await clock.sleep(_FRAME_S)


async def _print_lines(world: World, screen: Screen, console: Console, clock: SystemClock) -> None:
    console.print(f"To list dead letters while the demo runs: {world.letters_command}", soft_wrap=True)
    console.print(f"The web console: {world.console_url}", soft_wrap=True)
    printed, due = 0, clock.monotonic()
    while True:
        world.observe()
        screen.tick()
        for line in world.timeline.since(printed):
            console.print(line, soft_wrap=True)
        printed = world.timeline.total
        if clock.monotonic() >= due:
            due += _LINE_S
            console.print(_line(world.accounts.report()), soft_wrap=True)
        await clock.sleep(_FRAME_S)


def _keep_picture(screen: Screen, svg: Path | None) -> None:
    if svg is not None:
        with Path(os.devnull).open("w") as nowhere:
            canvas = Console(record=True, width=_WIDTH, height=_HEIGHT, file=nowhere, force_terminal=True)
            canvas.print(screen)
            picture = canvas.export_svg(title="streamer demo")
        # A viewer of the picture must not load fonts from a server.
        svg.write_text(re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL), encoding="utf-8")


def _line(report: DemoReport) -> str:
    delivered = ", ".join(f"{name} {target.delivered}" for name, target in report.targets.items())
    return f"sent {report.sent}, in the log {report.appended}, delivered: {delivered}"


def _conclude(report: DemoReport, path: Path | None) -> None:
    if path is not None:
        path.write_bytes(orjson.dumps(report.as_json(), option=orjson.OPT_INDENT_2) + b"\n")
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"{_line(report)}; lost {report.lost}, twice in the log {report.duplicates_in_log}, "
        f"too early {report.early}, repeated chains {report.second_rounds}."
    )
    if report.on_their_way:
        console.print(
            f"Not delivered yet: {report.on_their_way}. No delivery has succeeded for a minute. No event "
            "is lost, because the log or the org still holds these events."
        )
    latency = report.append_latency_ms
    console.print(f"From the commit in Salesforce to the log: p50 {latency.p50} ms, p99 {latency.p99} ms.")
    for letter in report.dead_letters[:_LETTERS]:
        console.print(f"Dead letter {letter.id}: {letter.error}", markup=False)
    if letters := len(report.dead_letters):
        console.print(
            f"Dead letters: {letters}; the demo caused {letters - len(report.unexpected_letters)}. No "
            "dead letter is lost: while a demo or daemon runs, `streamer deadletters list` and `streamer "
            "deadletters show` show dead letters, and `streamer deadletters redrive` delivers them again."
        )
    if not report.is_good:
        raise typer.Exit(1)
