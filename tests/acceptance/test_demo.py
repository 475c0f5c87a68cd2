"""The demo tells the truth about what arrived."""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import typer

from streamer.cli.demo import _conclude
from streamer.clock import SystemClock
from streamer.demo.report import Latency, Report, TargetReport
from streamer.demo.scenario import INVOICE, SHIPMENT
from streamer.demo.world import DemoOptions, demo_world
from tests.daemon import until

_NONE_MS = Latency(p50=0.0, p99=0.0)
_GOOD = Report(
    sent=3,
    appended=3,
    duplicates_in_log=0,
    dead_letters=0,
    append_latency_ms=_NONE_MS,
    targets={INVOICE: TargetReport(expected=1, delivered=1, repeated=0, latency_ms=_NONE_MS)},
)


async def test_demo_reports_what_arrived_and_keeps_the_picture(tmp_path: Path) -> None:
    """Three seconds of the demo exit 0; its counts agree with each other, and the picture is an SVG."""
    report, picture = tmp_path / "report.json", tmp_path / "demo.svg"
    demo = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "streamer", "demo", "--for", "3s", "--report", report, "--svg", picture,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await asyncio.wait_for(demo.communicate(), 110)

    assert demo.returncode == 0, output.decode()
    counts = orjson.loads(report.read_bytes())
    assert counts["sent"] == counts["appended"] == _sent_for(counts["targets"])
    assert (counts["lost"], counts["duplicates"], counts["dead_letters"]) == (0, 0, 0)
    assert all(each["delivered"] == each["expected"] > 0 for each in counts["targets"].values())
    assert picture.read_bytes().startswith(b"<svg")


async def test_demo_counts_what_a_target_never_took_as_lost(tmp_path: Path) -> None:
    """While fulfilment is down, exactly its deliveries are lost; nothing else is."""
    async with demo_world(DemoOptions(per_second=50, directory=tmp_path), SystemClock()) as world:
        fulfillment = world.receivers[SHIPMENT]
        fulfillment.faults.down = True
        scenario = asyncio.create_task(world.scenario.run(), name="scenario")
        await until(lambda: _true(world.scenario.expected[SHIPMENT] >= 10))
        scenario.cancel()
        await until(lambda: _true(world.report().lost == world.scenario.expected[SHIPMENT]))
        report = world.report()
        fulfillment.faults.down = False

    assert report.targets[SHIPMENT].lost == report.lost >= 10
    with pytest.raises(typer.Exit):
        _conclude(report, None)


@pytest.mark.parametrize(
    "loss",
    [
        {"appended": 2},
        {"duplicates_in_log": 1},
        {"dead_letters": 1},
        {"sent": 0, "appended": 0},
        {"targets": {INVOICE: TargetReport(expected=2, delivered=1, repeated=0, latency_ms=_NONE_MS)}},
    ],
)
def test_demo_exits_1_unless_everything_arrived_once(loss: dict[str, Any]) -> None:
    """Whatever is lost, twice in the log or set aside, and a demo in which nothing happened, exits 1."""
    _conclude(_GOOD, None)
    with pytest.raises(typer.Exit) as ended:
        _conclude(replace(_GOOD, **loss), None)
    assert ended.value.exit_code == 1


def _sent_for(targets: dict[str, Any]) -> int:
    # An opportunity is created and won, and makes an invoice; an order is one message and a shipment.
    return int(2 * targets["invoice"]["expected"] + targets["shipment"]["expected"])


async def _true(value: bool) -> bool:  # noqa: FBT001 - what a condition says
    return value
