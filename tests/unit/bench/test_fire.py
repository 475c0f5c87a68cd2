"""Draws and verdicts of the fault bench."""

from streamer.clock import TurnedClock
from streamer.settings import Transport
from tests.acceptance.fire.findings import Deliveries, Findings
from tests.acceptance.fire.schedule import STREAM_TROUBLES, Kind, profile_of, schedule
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


def test_events_of_a_repair_are_no_events_too_many() -> None:
    """Unless one of them is there twice, or of no record; any other event that was never sent is too many."""
    sent, recovered, other = Seen("k", "1"), Seen("k", "refused:hole:k"), Seen("k", "2")
    strange = Seen("x", "refused:hole:x")
    verdicts = []
    user = Seen("u", "refused:hole:u")
    for kept in ([sent, recovered, user], [recovered, sent, recovered], [sent, strange], [sent, other]):
        findings = Findings()
        findings.look_at_log([sent], kept, ["u"])
        verdicts.append(findings.ok)

    assert verdicts == [True, False, False, False]


def test_seed_draws_the_same_again() -> None:
    """A trial that failed can be looked at; all troubles of a stream are drawn, and both transports."""
    seeds = range(1, 400)
    drawn = [fault for seed in seeds for fault in schedule(seed)]

    assert drawn == [fault for seed in seeds for fault in schedule(seed)]
    assert {profile_of(seed).transport for seed in seeds} == set(Transport)
    troubles = {fault.who for fault in drawn if fault.kind is Kind.STREAM_TROUBLED}
    assert troubles == set(range(len(STREAM_TROUBLES)))


def test_second_step_before_the_first_one_breaks_a_promise() -> None:
    """The bench would be blind to a chain out of turn, because only a mistake of Streamer makes one."""
    arrivals = {"in turn": 2.0, "early": 1.0, "alone": 2.0}
    deliveries = Deliveries(first=arrivals, again=[], accepted=frozenset(arrivals))
    receipts = [{"event_id": event, "delivered_at": 1.5} for event in ("in turn", "early")]
    findings = Findings()

    findings.look_at_chain("packing", deliveries, receipts)

    told = "2 delivered to packing before the upstream receipt: early at 1.00, alone at 2.00"
    assert findings.broken == [told]
