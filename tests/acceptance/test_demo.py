"""The demo tells the truth about what arrived, and shows failures and their end."""

import asyncio
import fcntl
import os
import pty
import re
import signal
import struct
import sys
import termios
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any, NoReturn

import orjson
import pytest
import typer
from rich.console import Console

from streamer.cli.demo import _conclude
from streamer.clock import SystemClock
from streamer.demo.report import DemoReport, Latency, TargetCounts
from streamer.demo.scenario import BEFORE, INVOICE, SALES_CHANNEL, SHIPMENT, WRITE_BACK
from streamer.demo.screen import _FLOW_ROWS, Screen
from streamer.demo.settling import evidence_of
from streamer.demo.world import DemoOptions, demo_world, poison_sale
from streamer.errors import LogUnavailable, leaves
from streamer.sandbox.targets import ErpReceiver, FulfillmentReceiver
from tests.contracts.values import a_dead_letter
from tests.waiting import awaited, until

STORY = (
    r"the first message in Slack: Won: \d{3},\d{3}\.00, invoice INV-\d{6}, shipment SHP-\d{6}",
    "the ERP goes down in 2 s, for 2 s",
    "the ERP is down",
    "invoice: key 006\\w{15} is parked in the log",
    "invoice: the breaker opens",
    "fulfilment rejects one shipment for good",
    "shipment: dead letter, the target answered 422",
    "the opportunity in the org shows why fulfilment refused the shipment: the target answered 422",
    "the ERP is back",
    "invoice: the breaker closes",
    "invoice: no event is parked any more; at most",
)
_NONE_MS = Latency(p50=0.0, p99=0.0)
_TAKEN = Counter(["t1:1:006A:invoice"])
_TARGET = TargetCounts.of(["006A"], _TAKEN, [], latency_ms=_NONE_MS)
_GOOD = DemoReport(
    sent=3,
    appended=3,
    duplicates_in_log=0,
    append_latency_ms=_NONE_MS,
    targets={INVOICE: _TARGET},
)


async def test_demo_reports_what_arrived_and_keeps_the_picture(tmp_path: Path) -> None:
    """Six seconds of the demo exit 0; its counts agree with each other, and the picture is an SVG."""
    report, picture = tmp_path / "report.json", tmp_path / "demo.svg"
    demo = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "streamer", "demo", "--for", "6s", "--report", report, "--svg", picture,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env=os.environ | {"FORCE_COLOR": "1"},
    )  # fmt: skip
    output, _ = await awaited(demo.communicate())

    assert demo.returncode == 0, output.decode()
    counts = orjson.loads(report.read_bytes())
    assert counts["sent"] == counts["appended"] == _sent_for(counts["targets"])
    wrong = ("lost", "on_their_way", "duplicates", "early", "second_rounds")
    assert [counts[each] for each in wrong] == [0] * len(wrong)
    assert counts["dead_letters"] == counts["poisoned"] == counts["targets"]["shipment"]["set_aside"] == 1
    arrived = [each["delivered"] + each["set_aside"] for each in counts["targets"].values()]
    assert arrived == [each["expected"] for each in counts["targets"].values()]
    assert picture.read_bytes().startswith(b"<svg")
    _assert_shows_failure_and_recovery(output.decode())


def _assert_shows_failure_and_recovery(output: str) -> None:
    assert "\x1b" not in output
    assert len(re.findall(r"^sent \d+, in the log \d+", output, flags=re.MULTILINE)) >= 6
    story = [re.search(rf"^ +\d+\.\d s  {line}", output, flags=re.MULTILINE) for line in STORY]
    assert [line for line, found in zip(STORY, story, strict=True) if found is None] == []
    assert "lost 0, twice in the log 0, too early 0, repeated chains 0." in output
    assert "Dead letters: 1; the demo caused 1." in output


async def test_reader_that_has_seen_enough_ends_the_demo() -> None:
    """As in `streamer demo | head -1`: without a word on standard error."""
    demo = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "streamer", "demo",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert demo.stdout is not None
    assert demo.stderr is not None
    try:
        assert b"streamer deadletters list" in await demo.stdout.readline()
        demo._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined] # asyncio has no public way
        assert await awaited(demo.stderr.read()) == b""
        assert await demo.wait() == 0
    finally:
        if demo.returncode is None:
            demo.kill()


async def test_demo_without_its_log_says_so_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts no change as lost that no daemon has read."""

    def away(*_arguments: object) -> NoReturn:
        raise LogUnavailable("nothing listens at localhost:1")

    monkeypatch.setattr("streamer.app.daemon.open_log", away)
    monkeypatch.setattr("streamer.demo.world._WAIT_S", 0.1)
    options = DemoOptions(per_second=1, directory=tmp_path)
    with pytest.raises(ExceptionGroup) as caught:
        async with demo_world(options, SystemClock()):
            pass

    assert [str(error) for error in leaves(caught.value)] == [
        "the demo can't begin: nothing listens at localhost:1"
    ]


async def test_terminal_gets_its_lines_back_and_then_the_summary() -> None:
    """The demo draws on the alternate screen, in the size that the terminal has, without colours if asked."""
    terminal, demo_side = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
    demo = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "streamer", "demo",
        stdin=demo_side, stdout=demo_side, stderr=demo_side,
        env=environment | {"NO_COLOR": "1", "TERM": "xterm-256color"},
    )  # fmt: skip
    os.close(demo_side)
    drawn = bytearray()
    asyncio.get_running_loop().add_reader(terminal, _read_into, terminal, drawn)
    try:
        for rows, columns in ((24, 80), (16, 60)):
            fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            await until(partial(_has_frame, drawn, rows, columns))
        demo.send_signal(signal.SIGINT)
        assert await awaited(demo.wait()) == 0
    finally:
        if demo.returncode is None:
            demo.kill()
        asyncio.get_running_loop().remove_reader(terminal)
        os.close(terminal)

    shown, left, after = bytes(drawn).partition(b"\x1b[?1049l")
    assert shown.startswith(b"\x1b[?1049h")
    assert left
    assert re.search(rb"\x1b\[[0-9;]*3[0-9]", shown) is None
    assert b"lost 0, twice in the log 0, too early 0, repeated chains 0." in after


def _read_into(terminal: int, drawn: bytearray) -> None:
    with suppress(OSError):
        drawn += os.read(terminal, 65536)


async def _has_frame(drawn: bytearray, rows: int, columns: int) -> bool:
    """Return whether a frame of just this size, with events in it, was drawn."""
    frames = [
        re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", frame).split("\r\n")
        for frame in drawn.decode(errors="replace").split("\x1b[H")
    ]
    return any(
        "0 events/s" in frame[_FLOW_ROWS - 1] and [len(line) for line in frame] == [columns] * rows
        for frame in frames
        if len(frame) == rows
    )


@pytest.mark.parametrize(("columns", "rows"), [(120, 40), (80, 24), (60, 16), (60, 13), (60, 9)])
async def test_screen_fits_the_terminal(tmp_path: Path, columns: int, rows: int) -> None:
    """Every target with its counts is there, and nothing of the counts is cut off."""
    async with demo_world(DemoOptions(per_second=50, directory=tmp_path), SystemClock()) as world:
        poison_sale(world)
        await until(lambda: _true(bool(world.accounts.tally.dead_letters)))
        world.observe()
        canvas = Console(width=columns, height=rows, file=StringIO(), force_terminal=True, no_color=True)
        lines = canvas.render_lines(Screen(world, for_s=None))

    text = ["".join(part.text for part in line) for line in lines]
    counts = "".join(text[:_FLOW_ROWS])
    assert len(text) == (rows if rows >= 13 else _FLOW_ROWS + 1)
    assert all(re.search(rf"→ {name} +(\d+ +)+", counts) for name in (*BEFORE, "log"))
    assert all(heading in counts for heading in ("expected", "arrived", "parked", "set aside", "due"))
    assert "…" not in counts
    assert rows < 13 or "shipment: dead letter, the target answered 422" in "".join(text)


async def test_demo_tells_what_is_on_its_way_from_what_is_lost(tmp_path: Path) -> None:
    """While fulfilment is down, its deliveries and those that come after them are due, and none is lost."""
    clock = SystemClock()
    async with demo_world(DemoOptions(per_second=50, directory=tmp_path), clock) as world:
        fulfillment = world.receivers[SHIPMENT]
        fulfillment.faults.down = True
        scenario = asyncio.create_task(world.accounts.scenario.run(), name="scenario")
        await until(lambda: _true(len(world.accounts.scenario.expected[SHIPMENT]) >= 10))
        scenario.cancel()
        due = sum(
            len(world.accounts.scenario.expected[name]) for name in (SHIPMENT, WRITE_BACK, SALES_CHANNEL)
        )

        async def is_found_due() -> bool:
            # A forwarded event is pending once the next step has read it.
            world.accounts.evidence = await evidence_of(world, clock)
            return world.accounts.report().on_their_way == due

        await until(is_found_due)
        report = world.accounts.report()
        fulfillment.faults.down = False

    assert (report.lost, report.on_their_way) == (0, due)
    assert report.targets[INVOICE].due == 0
    assert report.targets[SHIPMENT].due == report.targets[WRITE_BACK].due >= 10
    with pytest.raises(typer.Exit):
        _conclude(report, None)


async def test_message_that_the_log_does_not_get_is_lost(tmp_path: Path) -> None:
    """The position has passed it; what the log holds is read from the log, not remembered."""
    clock = SystemClock()
    async with demo_world(DemoOptions(per_second=50, directory=tmp_path), clock) as world:
        world.sandbox.bus.publish(["/data/NobodyReadsThisChangeEvent"], {})
        world.accounts.scenario.win_refused()
        # Created, won, written back, and the one that nobody reads.
        await until(lambda: _true((world.accounts.report().sent, world.accounts.report().due) == (4, 1)))
        world.accounts.tally.appended_ids.clear()
        world.accounts.evidence = await evidence_of(world, clock)
        report = world.accounts.report()

    assert (report.sent, report.lost, report.on_their_way) == (report.appended + 1, 1, 0)
    assert report.appended >= 2


async def test_numbers_of_both_systems_are_written_back(tmp_path: Path) -> None:
    """Each won opportunity has those of its own invoice and its own shipment."""
    async with demo_world(DemoOptions(per_second=20, directory=tmp_path), SystemClock()) as world:
        scenario = asyncio.create_task(world.accounts.scenario.run(), name="scenario")
        await until(lambda: _true(len(world.accounts.scenario.expected[WRITE_BACK]) >= 5))
        scenario.cancel()
        await until(lambda: _true(world.accounts.report().due == 0))
        erp, fulfillment = world.receivers[INVOICE], world.receivers[SHIPMENT]
        assert isinstance(erp, ErpReceiver)
        assert isinstance(fulfillment, FulfillmentReceiver)
        invoices = {each["document"]["reference"]: each["number"] for each in erp.documents.values()}

        for record_id in world.accounts.scenario.expected[WRITE_BACK]:
            record = world.sandbox.org.retrieve("Opportunity", record_id)
            written = record["Invoice_Number__c"], record["Shipment_Number__c"]
            assert written == (invoices[record_id], fulfillment.shipments[record_id]["shipment"])


@pytest.mark.parametrize(
    "loss",
    [
        {"appended": 2},
        {"duplicates_in_log": 1},
        {"dead_letters": [a_dead_letter("1")]},
        {"sent": 0, "appended": 0},
        {"targets": {INVOICE: TargetCounts.of(["006A", "006B"], _TAKEN, [], latency_ms=_NONE_MS)}},
        {
            "targets": {
                INVOICE: TargetCounts.of(["006A"], _TAKEN + Counter(["t2:1:006A"]), [], latency_ms=_NONE_MS)
            }
        },
        {"targets": {INVOICE: TargetCounts.of(["006B"], _TAKEN, [], latency_ms=_NONE_MS)}},
        {"targets": {INVOICE: replace(_TARGET, early=1)}},
    ],
)
def test_demo_exits_1_unless_everything_arrived_once(loss: dict[str, Any]) -> None:
    """Also one in which nothing happened, a step came before its turn, or a sale had a second round."""
    _conclude(_GOOD, None)
    with pytest.raises(typer.Exit) as ended:
        _conclude(replace(_GOOD, **loss), None)
    assert ended.value.exit_code == 1


def _sent_for(targets: dict[str, Any]) -> int:
    # An opportunity is created and won; what is written back is a third change.
    written = targets["write-back"]["delivered"] + targets["shipment"]["set_aside"]
    return int(2 * targets["invoice"]["expected"] + written)


async def _true(value: bool) -> bool:  # noqa: FBT001 - what a condition says
    return value
