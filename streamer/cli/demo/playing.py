"""Course of `streamer demo`: starts the world, plays the scenario, and prints the verdict."""

import asyncio
import os
import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import orjson
import typer

from streamer.cli.demo.command import DemoArguments
from streamer.cli.demo.display import FRAME_S, DemoOutput, has_desktop, open_browser
from streamer.cli.output import failures_reported
from streamer.cli.signals import until_signalled
from streamer.clock import Clock, SystemClock
from streamer.demo.drawing.screen import Screen
from streamer.demo.drawing.svg import svg_of
from streamer.demo.faults import inject_faults
from streamer.demo.outage import Outage, OutageCourse
from streamer.demo.report import DemoReport
from streamer.demo.settling import settle
from streamer.demo.verdict import verdict
from streamer.demo.world import DemoOptions, World, demo_world
from streamer.observe import logs


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """Report of a demo that has ended, and the course of its outage."""

    report: DemoReport
    outage: OutageCourse


def play(arguments: DemoArguments) -> None:
    """Run the demo, and print its verdict; raises `typer.Exit` unless the verdict is good."""
    logs.configure("auto", "error")
    outputs: list[DemoOutput] = []
    results: list[DemoResult] = []

    async def work(stopping: asyncio.Event) -> None:
        outputs.append(output := DemoOutput(stopping=stopping))
        with tempfile.TemporaryDirectory(prefix="streamer-demo-") as directory:
            async with _started(arguments, Path(directory), output) as world:
                if not stopping.is_set():
                    results.append(await _perform(world, arguments, output))

    with failures_reported():
        asyncio.run(until_signalled(work))
    if results:
        conclude(results[0], arguments.report, outputs[0])
    elif not outputs[0].is_gone:
        outputs[0].say("The demo was stopped before its result was known.")
        raise typer.Exit(1)


@asynccontextmanager
async def _started(arguments: DemoArguments, directory: Path, output: DemoOutput) -> AsyncIterator[World]:
    """Start the world, and say which part starts; the line ends also if a part fails."""
    clock = SystemClock()
    options = DemoOptions(
        per_second=arguments.rate,
        directory=directory,
        kafka=arguments.kafka,
        prefix=f"streamer-demo-{uuid.uuid4().hex[:8]}",
    )
    is_ready = False
    try:
        async with demo_world(options, clock, said=lambda part: output.say(f", {part}", end="")) as world:
            is_ready = True
            output.say(f". Ready.\nWeb console: {world.console_url}")
            yield world
    finally:
        if not is_ready:
            output.say("")


async def _perform(world: World, arguments: DemoArguments, output: DemoOutput) -> DemoResult:
    clock = SystemClock()
    if arguments.opens_browser and has_desktop(os.environ, is_terminal=output.is_terminal):
        open_browser(world.console_url)
    screen = Screen(world, for_s=arguments.for_s, glyphs=output.glyphs)
    async with asyncio.TaskGroup() as group:
        outage = Outage.within(arguments.for_s)
        acting = [
            group.create_task(world.accounts.scenario.run(), name="scenario"),
            group.create_task(inject_faults(world, outage, clock), name="faults"),
        ]
        drawing = group.create_task(output.show(screen, world.timeline, clock), name="screen")
        await _time_is_up(arguments, output.stopping, clock)
        for task in acting:
            task.cancel()
        screen.is_over = True
        await settle(world, clock)
        # The last frame shows the result.
        await clock.sleep(2 * FRAME_S)
        drawing.cancel()
    output.keep(screen)
    if arguments.svg is not None:
        arguments.svg.write_text(svg_of([*screen.pictures, screen.picture]), encoding="utf-8")
    return DemoResult(report=world.accounts.report(), outage=world.outage)


async def _time_is_up(arguments: DemoArguments, stopping: asyncio.Event, clock: Clock) -> None:
    with suppress(TimeoutError):
        async with clock.timeout(arguments.for_s):
            await stopping.wait()


def conclude(result: DemoResult, path: Path | None, output: DemoOutput) -> None:
    """Write the report, and print the verdict; raises `typer.Exit` unless the verdict is good."""
    if path is not None:
        path.write_bytes(orjson.dumps(result.report.as_json(), option=orjson.OPT_INDENT_2) + b"\n")
    output.judge(verdict(result.report, result.outage))
    if not result.report.is_good:
        raise typer.Exit(1)
