"""The demo's durations and its verdict."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
import typer

from streamer.cli.demo.command import seconds
from streamer.cli.demo.display import DemoOutput
from streamer.cli.demo.playing import DemoResult, conclude
from streamer.clock import TurnedClock
from streamer.demo.outage import OutageCourse
from streamer.demo.report import DemoReport, FlowState, Latency, TargetCounts
from streamer.demo.scenario import INVOICE, SALES_CHANNEL, SHIPMENT, Scenario
from streamer.demo.settling import Quiescence
from streamer.demo.tally import percentile
from streamer.events import DeadLetter, EventId, Stage
from streamer.sandbox import Sandbox
from tests.deliveries import event

NONE = Latency(p50=0.0, p99=0.0)
SALES = ("006A", "006B", "006C", "006D")


def target(*taken: str, letters: Sequence[str] = ()) -> TargetCounts:
    """Return the report of a target that must take each of `SALES`, and took events of these records."""
    steps = Counter(f"t{number}:1:{record}:invoice" for number, record in enumerate(taken))
    # One of them came twice.
    return TargetCounts.of(SALES, steps + Counter([*steps][:1]), letters, ahead=0, latency_ms=NONE)


TARGET = target(*SALES)
LETTER = DeadLetter(
    id="e1:invoice",
    stage=Stage.DISPATCH,
    channel="/data/ChangeEvents",
    reason="rejected",
    error="the target answered 422",
    hint="",
    failed_at=0.0,
    first_failed_at=0.0,
    event=replace(event(), id=EventId("e1"), subject="006A"),
    subscriber=INVOICE,
)
GOOD = DemoReport(
    sent=9,
    appended=9,
    duplicates_in_log=0,
    append_latency_ms=Latency(p50=1.5, p99=9.0),
    targets={INVOICE: TARGET},
)


def concluded(report: DemoReport, path: Path | None = None) -> None:
    """Print the verdict on a report, and raise what the command raises."""
    result = DemoResult(report=report, outage=OutageCourse())
    conclude(result, path, DemoOutput(stopping=asyncio.Event()))


@pytest.mark.parametrize(
    ("text", "expected"), [("20s", 20.0), ("5m", 300.0), ("1h", 3600.0), ("1.5", 1.5), ("0.5m", 30.0)]
)
def test_durations_are_read(text: str, expected: float) -> None:
    """Seconds where no unit is given."""
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "0", "0s", "-1s", "s", "5 m", "1d", "inf", "1e3"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """With an example of one."""
    with pytest.raises(typer.BadParameter, match="20s, 5m or 1h"):
        seconds(text)


def test_demo_that_lost_nothing_succeeds(tmp_path: Path) -> None:
    """Repeated deliveries do not count as loss; the report has the counts."""
    concluded(GOOD, tmp_path / "report.json")

    report = orjson.loads((tmp_path / "report.json").read_bytes())
    assert (report["sent"], report["lost"], report["duplicates"]) == (9, 0, 0)
    assert report["targets"]["invoice"]["repeated"] == 1


def test_poisoned_event_is_a_dead_letter_and_not_lost(capsys: pytest.CaptureFixture[str]) -> None:
    """The verdict counts it, and says why the target refused it."""
    refused = target("006B", "006C", "006D", letters=["006A"])
    concluded(replace(GOOD, targets={INVOICE: refused}, dead_letters=[LETTER], poisoned={"006A"}))

    verdict = capsys.readouterr().out
    assert verdict.startswith("✔ Nothing is lost.")
    assert "1 dead letter, as planned: the target answered 422." in verdict


@pytest.mark.parametrize(
    "report",
    [
        replace(GOOD, appended=8),
        replace(GOOD, appended=8, unread=1),
        replace(GOOD, appended=8, unread=0),
        replace(GOOD, targets={INVOICE: target(*SALES[:3])}),
        replace(GOOD, targets={INVOICE: target(*SALES, "006A")}),
        # One is lost, and another one had a second round.
        replace(GOOD, targets={INVOICE: target("006A", "006A", "006B", "006C")}),
        replace(GOOD, targets={INVOICE: replace(TARGET, early=1)}),
        replace(GOOD, duplicates_in_log=1),
        replace(GOOD, dead_letters=[LETTER]),
        replace(GOOD, dead_letters=[LETTER], poisoned={"006B"}),
        replace(GOOD, sent=0, appended=0),
    ],
)
def test_demo_that_lost_anything_fails(report: DemoReport, tmp_path: Path) -> None:
    """Exit status 1, and the report is written all the same."""
    with pytest.raises(typer.Exit) as caught:
        concluded(report, tmp_path / "report.json")

    assert caught.value.exit_code == 1
    assert (tmp_path / "report.json").exists()


async def test_slack_can_take_the_messages_of_a_fast_demo() -> None:
    """It takes one a second, so what a busier org asks of it would look lost."""
    clock = TurnedClock()
    scenario = Scenario(org=Sandbox(clock).org, clock=clock, per_second=200, ended=lambda: 10_000)
    acting = asyncio.create_task(scenario.run())
    await clock.turn(4)
    acting.cancel()

    assert scenario.sent > 700
    assert 1 <= len(scenario.expected[SALES_CHANNEL]) <= 4


async def test_org_waits_for_a_machine_that_cannot_keep_up() -> None:
    """While nothing ends, the sales of 15 seconds are the most; each one that ends makes room for another."""
    clock = TurnedClock()
    ended: list[int] = []
    scenario = Scenario(org=Sandbox(clock).org, clock=clock, per_second=20, ended=lambda: len(ended))
    acting = asyncio.create_task(scenario.run())
    await clock.turn(60)
    waiting = scenario.sent
    ended += range(7)
    await clock.turn(60)
    acting.cancel()

    assert waiting == 2 * 150
    assert scenario.sent == 2 * 157


async def test_demo_that_moves_is_waited_for_however_long_it_takes() -> None:
    """An event every half minute is progress; a minute without any is a standstill."""
    clock = TurnedClock()
    moved: list[int] = []
    waiting = asyncio.create_task(
        Quiescence(progress=lambda: len(moved), clock=clock).reached(lambda: len(moved) == 100)
    )
    for _ in range(20):
        await clock.turn(30)
        moved.append(1)
    await clock.turn(59)
    assert not waiting.done()
    await clock.turn(2)
    assert waiting.done()


async def test_demo_that_has_settled_ends_at_once() -> None:
    """Nobody waits for a standstill after the last event."""
    clock = TurnedClock()
    moved: list[int] = []
    waiting = asyncio.create_task(
        Quiescence(progress=lambda: len(moved), clock=clock).reached(lambda: bool(moved))
    )
    await clock.turn(1)
    assert not waiting.done()
    moved.append(1)
    await clock.turn(0.1)
    assert waiting.done()


@pytest.mark.parametrize(("unread", "lost"), [(0, 3), (1, 2), (3, 0), (5, 0)])
def test_message_that_the_daemon_has_still_to_read_is_not_lost(unread: int, lost: int) -> None:
    """Only one that is missing behind the channel's position is."""
    report = replace(GOOD, appended=6, unread=unread)

    assert (report.lost, report.on_their_way) == (lost, 3 - lost)
    assert not report.is_good


def test_sale_that_waits_at_an_earlier_step_is_not_lost(capsys: pytest.CaptureFixture[str]) -> None:
    """Two shipments are due: the one invoice that is pending can still become one, the other is lost."""
    evidence = FlowState(logged=Counter(), unread=0, pending={INVOICE: 1, SALES_CHANNEL: 9})
    shipments = TargetCounts.of(
        SALES,
        Counter(["t1:1:006A:shipment", "t2:1:006B:shipment"]),
        [],
        ahead=evidence.ahead_of(SHIPMENT),
        latency_ms=NONE,
    )
    report = replace(GOOD, targets={SHIPMENT: shipments}, unread=0)

    assert (shipments.due, shipments.lost) == (2, 1)
    with pytest.raises(typer.Exit):
        concluded(report)
    assert "Lost 1, still due 1," in (verdict := capsys.readouterr().out)
    assert verdict.startswith("✘ Lost: 1 ")


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1.0), (0.5, 3.0), (0.99, 5.0), (1.0, 5.0)])
def test_percentile_is_one_of_the_values(share: float, expected: float) -> None:
    """Whatever their order."""
    assert percentile([5.0, 1.0, 3.0, 2.0, 4.0], share) == expected
    assert percentile([], share) == 0.0
