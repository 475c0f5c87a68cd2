"""Verdicts of the fault bench: starvation is no broken promise."""

from streamer.clock import TurnedClock
from tests.acceptance.fire.findings import Deliveries, Findings
from tests.acceptance.fire.schedule import Kind
from tests.acceptance.fire.struck import Strike, Strikes
from tests.acceptance.sent import Seen

_AGAIN = Deliveries(first={"1": 100.0}, again=[("1", 100.0, 104.0)], accepted=frozenset({"1"}))


def judged(*strikes: Strike) -> Findings:
    """Return the verdict on an event that was delivered twice."""
    findings = Findings()
    known = Strikes(clock=TurnedClock(), all=list(strikes))
    findings.look_at_target("shop", [Seen("k", "1")], _AGAIN, known)
    return findings


def test_repeat_without_a_cause_breaks_a_promise() -> None:
    """Neither a fault nor starvation explains it."""
    found = judged(Strike(kind=Kind.KILL, began=10.0, ended=11.0), Strike(kind=None, began=20.0, ended=21.0))

    assert not found.ok
    assert "nothing had struck" in found.broken[0]


def test_repeat_for_want_of_cpu_is_told_apart() -> None:
    """It is counted in the verdict and breaks nothing."""
    found = judged(Strike(kind=None, began=99.0, ended=101.0))

    assert found.ok
    assert str(found).endswith("repeats: 1 to shop (1 for want of CPU)")


def test_repeat_after_a_fault_is_not_put_down_to_starvation() -> None:
    """A machine that is slow all the time hides no fault's share."""
    found = judged(
        Strike(kind=None, began=0.0, ended=200.0), Strike(kind=Kind.KILL, began=100.0, ended=101.0)
    )

    assert str(found).endswith("repeats: 1 to shop")


def test_stop_explains_no_repeat() -> None:
    """A process that is stopped takes nothing with it."""
    assert not judged(Strike(kind=Kind.STOP, began=100.0, ended=101.0)).ok
