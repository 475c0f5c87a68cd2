"""The verdict of the demo says how it ended in its first sentence."""

import re
from collections import Counter
from dataclasses import replace

import pytest

from streamer.cli.lazy import COMMANDS
from streamer.demo.outage import Outage, OutageCourse
from streamer.demo.report import DemoReport, Latency, TargetCounts
from streamer.demo.scenario import INVOICE
from streamer.demo.verdict import verdict
from tests.contracts.values import a_dead_letter

NONE_MS = Latency(p50=0.0, p99=0.0)
TAKEN = Counter(["t1:1:006A:invoice"])
TARGET = TargetCounts.of(["006A"], TAKEN, [], ahead=0, latency_ms=NONE_MS)
DUE = TargetCounts.of(["006A", "006B"], TAKEN, [], ahead=1, latency_ms=NONE_MS)
LOST = TargetCounts.of(["006A", "006B"], TAKEN, [], ahead=0, latency_ms=NONE_MS)
GOOD = DemoReport(
    sent=3,
    appended=3,
    unread=0,
    duplicates_in_log=0,
    append_latency_ms=Latency(p50=1.5, p99=9.0),
    targets={INVOICE: TARGET},
)


UNTIDY = "Everything arrived, but not as it should."


def test_good_demo_lost_nothing() -> None:
    """The counts follow the answer."""
    good = verdict(GOOD)

    assert good.is_good
    assert good.headline == "Nothing is lost. Every deal took its steps once and in order."
    assert good.details[0] == "Sent 3, in the log 3; ERP 1."
    assert "Lost 0, still due 0, twice in the log 0, too early 0, repeated chains 0." in good.details


def test_next_step_is_a_command_that_is_installed() -> None:
    """An installed wheel has no folder `docs`."""
    *_, line = verdict(GOOD).details
    [(words, name)] = re.findall(r"`(streamer (\S+))`", line)

    assert line.startswith(f"Next: `{words}` ")
    assert name in COMMANDS
    assert "docs/" not in line


@pytest.mark.parametrize(
    ("report", "headline"),
    [
        (replace(GOOD, targets={INVOICE: DUE}), "Not finished: 1 still due, none lost."),
        (replace(GOOD, appended=2, unread=1), "Not finished: 1 still due, none lost."),
        (replace(GOOD, targets={INVOICE: LOST}), "Lost: 1 event"),
        (replace(GOOD, appended=2), "Lost: 1 event"),
        (replace(GOOD, sent=0, appended=0), "Nothing happened"),
        (replace(GOOD, duplicates_in_log=1), UNTIDY),
        (
            replace(GOOD, targets={INVOICE: replace(TARGET, early=1)}),
            "Everything arrived, but not as it should.",
        ),
        (replace(GOOD, dead_letters=[a_dead_letter("1")]), UNTIDY),
    ],
)
def test_bad_demo_says_which_way_it_is_bad(report: DemoReport, headline: str) -> None:
    """A delivery that is only late on a slow machine is due, and not lost."""
    bad = verdict(report)

    assert not bad.is_good
    assert bad.headline.startswith(headline)


def test_outage_is_told() -> None:
    """Its duration, the deals that waited, and the time of the recovery."""
    outage = OutageCourse(plan=Outage(), down_at=12.0, back_at=22.0, drained_at=23.5, most_waiting=93)

    assert (
        "The ERP was down for 10 s, and 93 deals waited. 1.5 s after its return, every invoice that waited "
        "was there."
    ) in verdict(GOOD, outage).details
    assert not [line for line in verdict(GOOD, OutageCourse()).details if "ERP was" in line]
