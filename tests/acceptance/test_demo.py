"""The demo's report is true, and the demo shows failures and recoveries."""

import asyncio
import os
import re
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import orjson
import pytest
import typer

from streamer.cli.demo.display import DemoOutput
from streamer.cli.demo.playing import DemoResult, conclude
from streamer.clock import SystemClock
from streamer.demo.drawing.glyphs import UNICODE
from streamer.demo.drawing.screen import Screen
from streamer.demo.faults import poison_sale
from streamer.demo.outage import OutageCourse
from streamer.demo.report import DemoReport, Latency, TargetCounts
from streamer.demo.scenario import INVOICE, SALES_CHANNEL, SHIPMENT, WRITE_BACK
from streamer.demo.settling import evidence_of
from streamer.demo.world import DemoOptions, World, demo_world
from streamer.errors import LogUnavailable, leaves
from streamer.sandbox.targets import ErpReceiver, FulfillmentReceiver
from tests.contracts.values import a_dead_letter
from tests.emulator import EmulatedTerminal
from tests.waiting import awaited, until

STORY = (
    r"the first message in Slack: Won: [A-Z]\w+ \w+, \d{3},\d{3}\.00, invoice INV-\d{6}, shipment SHP-",
    "the ERP is down",
    r"ERP: the first failed event is parked in the log, of 006\w{15}",
    "ERP: the circuit opens; events wait in the log",
    "fulfilment will refuse one shipment for good",
    "Fulfilment: dead letter, the target answered 422",
    "the opportunity in Salesforce shows the reason: the target answered 422",
    r"the ERP is back; \d+ deals wait for their invoices",
    "ERP: the circuit closes",
    "ERP: no event is parked any more; at most",
    r"the ERP has every invoice that waited, \d+\.\d s after its return",
    "to list dead letters: streamer deadletters list --url http://localhost:",
)
DEMO = (sys.executable, "-m", "streamer", "demo")
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


def concluded(report: DemoReport) -> None:
    """Print the verdict on a report, and raise what the command raises."""
    output = DemoOutput(stopping=asyncio.Event())
    conclude(DemoResult(report=report, outage=OutageCourse()), None, output)


async def test_demo_reports_what_arrived_and_keeps_the_picture(tmp_path: Path) -> None:
    """Six seconds of the demo exit 0; its counts agree with each other, and the picture is an SVG."""
    report, picture = tmp_path / "report.json", tmp_path / "demo.svg"
    demo = await asyncio.create_subprocess_exec(
        *DEMO, "--for", "6s", "--report", report, "--svg", picture,
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
    lines = re.findall(r"^ +\d+\.\d s  Salesforce \d+ deals won \| .*$", output, flags=re.MULTILINE)
    assert len(lines) >= 6
    assert any(re.search(r"ERP \d+ invoices \(DOWN, circuit open, \d+ waiting\)", line) for line in lines)
    story = [re.search(rf"^ +\d+\.\d s  {line}", output, flags=re.MULTILINE) for line in STORY]
    assert [line for line, found in zip(STORY, story, strict=True) if found is None] == []
    assert re.search("^✔ Nothing is lost.", output, flags=re.MULTILINE)
    assert "Lost 0, still due 0, twice in the log 0, too early 0, repeated chains 0." in output
    assert "1 dead letter, as planned: the target answered 422" in output


async def test_reader_that_has_seen_enough_ends_the_demo() -> None:
    """As in `streamer demo | head -1`: without a word on standard error."""
    demo = await asyncio.create_subprocess_exec(
        *DEMO, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert demo.stdout is not None
    assert demo.stderr is not None
    try:
        assert (await demo.stdout.readline()).startswith(b"Streamer demo: ")
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


@pytest.fixture
def browser(tmp_path: Path) -> dict[str, str]:
    """Environment of a desktop, whose browser only keeps the address in the file `opened`."""
    script = tmp_path / "browser"
    script.write_text(f'#!/bin/sh\necho "$1" > {tmp_path / "opened"}\n')
    script.chmod(0o755)
    return {"DISPLAY": ":99", "BROWSER": str(script)}


@pytest.mark.parametrize(("rows", "columns"), [(24, 80), (40, 120)])
async def test_outage_and_recovery_are_seen_and_the_picture_stays(
    rows: int, columns: int, browser: dict[str, str], tmp_path: Path
) -> None:
    """The browser opens the console; after the end, the terminal has the last picture and the verdict."""
    terminal = EmulatedTerminal(rows, columns)
    async with terminal.running(*DEMO, "--for", "12s", environ=browser):
        await terminal.shows(lambda: "Web console: http://localhost:" in terminal.text)
        await terminal.shows(lambda: re.search("DOWN +circuit open", terminal.text))
        assert terminal.screen.is_alternate
        assert terminal.colour_of("DOWN") == "red"
        await terminal.shows(lambda: re.search(r"[1-9]\d* waiting ▇", terminal.text))
        await terminal.shows(lambda: terminal.text.count("● UP") == 4)
        assert await terminal.ended() == 0

    assert not terminal.screen.is_alternate
    assert re.search("╭─ Salesforce ─.* ╭─ Log: SQLite ─.* ╭─ ERP ─", terminal.text)
    said = " ".join(line.strip() for line in terminal.lines)
    assert "✔ Nothing is lost. Every deal took its steps once and in order." in said
    assert "after its return, every invoice that waited was there." in said
    assert [line for line in terminal.lines if line.startswith("✔ ")]
    opened = (tmp_path / "opened").read_text().strip()
    assert re.fullmatch(r"http://localhost:\d+/console", opened)
    assert any(f"Web console: {opened}" in frame for frame in terminal.frames)


async def test_picture_follows_the_size_of_a_terminal_without_colours_and_utf_8(
    browser: dict[str, str], tmp_path: Path
) -> None:
    """Nothing of the former size is left; the words are enough, and no browser opens if asked."""
    plain = {"NO_COLOR": "1", "LC_ALL": "C"}
    terminal = EmulatedTerminal(24, 80)
    async with terminal.running(*DEMO, "--no-browser", environ=browser | plain):
        await terminal.shows(lambda: "|-->|" in terminal.text)
        for rows, columns, boxes in ((16, 60, 0), (40, 120, 3), (24, 150, 6), (24, 60, 3)):
            terminal.resize(rows, columns)
            await terminal.shows(lambda: _is_whole(terminal, columns, boxes))  # noqa: B023 - waited for here
        terminal.interrupt()
        assert await terminal.ended() == 0

    assert [line for line in terminal.lines if line.startswith("OK: Nothing is lost.")]
    assert terminal.text.isascii()
    assert all(frame.isascii() for frame in terminal.frames)
    assert terminal.colours == {"default"}
    assert not (tmp_path / "opened").exists()


def _is_whole(terminal: EmulatedTerminal, columns: int, boxes: int) -> bool:
    """Return whether the terminal shows one picture of just this width, with so many boxes in a row."""
    lines = terminal.lines
    return (
        lines[0].startswith("Streamer demo")
        and lines[-1].startswith("Web console: ")
        and sum(line.startswith("-- What happened") and len(line) == columns for line in lines) == 1
        and sum(line.startswith("Streamer demo") for line in lines) == 1
        and max(line.count("+- ") for line in lines) == boxes
    )


async def test_picture_shows_the_running_world(tmp_path: Path) -> None:
    """The counts, the deals and the dead letter come from the org, the log and the targets."""
    async with demo_world(DemoOptions(per_second=50, directory=tmp_path), SystemClock()) as world:
        world.receivers[INVOICE].faults.down = True
        waiting = world.accounts.scenario.win_refused()
        screen = Screen(world, for_s=None, glyphs=UNICODE)
        await until(lambda: _ticked(world, screen).daemon.dispatching.dispatchers[INVOICE].status.parked)
        down = screen.picture.stations[2]
        world.receivers[INVOICE].faults.down = False
        await until(lambda: _ticked(world, screen).accounts.steps.taken[SHIPMENT])
        screen.tick()
        org, log, erp, fulfilment, write_back, slack = screen.picture.stations

    assert (down.title, down.state, down.waiting, down.deals[0].record_id) == ("ERP", "DOWN", 1, waiting)
    assert (org.counts[0], erp.state, erp.counts[0], erp.waiting) == ("1 deal won", "UP", "1 invoice", 0)
    assert log.counts[0].endswith(" events")
    assert fulfilment.counts[0] == "1 shipment"
    assert (write_back.counts[0], slack.counts[0]) == ("0 opportunities", "0 messages")


async def test_refused_shipment_is_a_dead_letter_in_the_picture(tmp_path: Path) -> None:
    """The deal does not wait any more."""
    async with demo_world(DemoOptions(per_second=50, directory=tmp_path), SystemClock()) as world:
        poison_sale(world)
        screen = Screen(world, for_s=None, glyphs=UNICODE)
        await until(lambda: _ticked(world, screen).accounts.tally.dead_letters)
        screen.tick()
        fulfilment = screen.picture.stations[3]
        timeline = "\n".join(screen.picture.timeline)

    assert (fulfilment.letters, fulfilment.waiting) == (1, 0)
    assert "Fulfilment: dead letter, the target answered 422" in timeline


def _ticked(world: World, screen: Screen) -> World:
    screen.tick()
    return world


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
        concluded(report)


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
    concluded(_GOOD)
    with pytest.raises(typer.Exit) as ended:
        concluded(replace(_GOOD, **loss))
    assert ended.value.exit_code == 1


def _sent_for(targets: dict[str, Any]) -> int:
    # An opportunity is created and won; what is written back is a third change.
    written = targets["write-back"]["delivered"] + targets["shipment"]["set_aside"]
    return int(2 * targets["invoice"]["expected"] + written)


async def _true(value: bool) -> bool:  # noqa: FBT001 - what a condition says
    return value
