"""The course of the outage, and the sentence that describes it."""

import pytest

from streamer.demo.drawing.picture import narration
from streamer.demo.outage import Outage, OutageCourse, OutagePhase


@pytest.mark.parametrize(
    ("for_s", "outage"), [(None, (12, 10)), (100.0, (12, 10)), (20.0, (6, 6)), (3.0, (0.9, 0.9))]
)
def test_outage_leaves_time_to_recover(for_s: float | None, outage: tuple[float, float]) -> None:
    """It comes sooner and is shorter when the demo is short."""
    fitting = Outage.within(for_s)

    assert (fitting.at_s, fitting.lasts_s) == pytest.approx(outage)


def course(*, until: OutagePhase) -> OutageCourse:
    """Return an outage from 12 s to 22 s, in which three deals waited, and which ended 1.5 s later."""
    outage = OutageCourse(plan=Outage())
    if until is OutagePhase.AHEAD:
        return outage
    outage.down_at = 12.0
    outage.observe({"006A", "006B", "006C", "006D"}, 15.0)
    if until is OutagePhase.DOWN:
        return outage
    outage.end({"006A", "006B", "006C"}, 22.0)
    outage.observe({"006C", "006E"}, 22.5)
    if until is OutagePhase.DRAINED:
        outage.observe({"006E", "006F"}, 23.5)
    return outage


@pytest.mark.parametrize("phase", OutagePhase)
def test_outage_goes_through_its_phases(phase: OutagePhase) -> None:
    """It has drained when no deal waits that waited when the ERP came back; later deals do not count."""
    assert course(until=phase).phase is phase


def test_outage_measures_itself() -> None:
    """Its duration, the deals that waited, and the time that they took afterwards."""
    outage = course(until=OutagePhase.DRAINED)

    assert (outage.lasted_s, outage.most_waiting, outage.drained_after_s) == (10.0, 4, 1.5)


def test_outage_without_a_waiting_deal_drains_at_once() -> None:
    """On a slow machine, no deal can have reached the ERP yet."""
    outage = OutageCourse(plan=Outage(), down_at=12.0)
    outage.end(set(), 22.0)
    outage.observe(set(), 22.25)

    assert outage.phase is OutagePhase.DRAINED


@pytest.mark.parametrize(
    ("phase", "elapsed_s", "said"),
    [
        (OutagePhase.AHEAD, 4.2, "The ERP goes down in 8 s."),
        (OutagePhase.AHEAD, 11.9, "The ERP goes down in 1 s."),
        (OutagePhase.DOWN, 18.0, "The ERP is down. Streamer keeps its events in the log"),
        (OutagePhase.DOWN, 18.0, "The ERP returns in 4 s."),
        (OutagePhase.DRAINING, 22.5, "The ERP is back. Streamer delivers the 3 deals that waited."),
        (OutagePhase.DRAINED, 30.0, "1.5 s after the ERP came back, it had every invoice that waited."),
    ],
)
def test_narration_follows_the_outage(phase: OutagePhase, elapsed_s: float, said: str) -> None:
    """One sentence says what to look at."""
    assert said in narration(course(until=phase), elapsed_s)


def test_narration_says_still_due_at_the_end() -> None:
    """A delivery that takes long on a slow machine is due, and not lost."""
    outage = course(until=OutagePhase.DRAINING)

    assert "7 deliveries are still due" in (said := narration(outage, 60.0, due=7))
    assert "lost" not in said
    assert "Every delivery has ended." in narration(outage, 60.0, due=0)
