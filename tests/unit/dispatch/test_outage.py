"""A target that is down costs no events and no attempts, and gets only probes."""

import gc
from collections import deque

import pytest

from streamer.dispatch.admission.admission import GuardLimits
from streamer.dispatch.admission.circuit_breaker import BreakerLimits
from streamer.dispatch.dispatcher import Dispatcher
from streamer.dispatch.state import Limits
from streamer.events import Outcome, Reject, Retry, Skip
from subscribers.http import Answer
from subscribers.http.answer import verdict
from tests.unit.dispatch.world import ACCOUNTS, TARGET, World

HOUR = 3_600
_CONTAINERS = (dict, list, tuple, set, frozenset, deque)


@pytest.fixture
def outage(world: World) -> World:
    """A subscriber as users have it."""
    world.breaker = BreakerLimits()
    world.limits = Limits(waiting=50)
    world.receipts = True
    return world


async def test_target_that_is_down_for_an_hour_costs_nothing(outage: World) -> None:
    """No attempt in the end, no dead letter, no memory, and everything arrives in order."""
    outage.target.down = True
    sizes = []
    async with outage.running() as dispatcher:
        for minute in range(60):
            await outage.append(*range(minute * 20, minute * 20 + 20), key=f"k{minute % 6}")
            await outage.turn(60)
            sizes.append(held_by(dispatcher))
            # A page that was read at once exceeds the limit.
            assert dispatcher.status.waiting <= 50 + 20
        assert max(sizes) < 1.05 * sizes[9]
        assert len(outage.target.attempts) < 400
        outage.target.down = False
        await outage.turn(120)

        assert not outage.letters
        assert len(outage.log.receipts) == 1_200
        assert {receipt.attempts for receipt in outage.log.receipts} == {1}
    arrived = [int(name) for name in outage.target.delivered]
    for key in range(6):
        found = [number for number in arrived if number // 20 % 6 == key]
        assert found == sorted(found)


def held_by(dispatcher: Dispatcher) -> int:
    """Return how many objects a dispatcher keeps alive, its log and its target aside."""
    seen: dict[int, object] = {}
    found: list[object] = [dispatcher]
    while found:
        each = found.pop()
        ours = type(each).__module__.startswith(("streamer.dispatch", "streamer.events"))
        if id(each) not in seen and gc.is_tracked(each) and (ours or isinstance(each, _CONTAINERS)):
            seen[id(each)] = each
            found += gc.get_referents(each)
    return len(seen)


async def test_what_an_outage_gives_back_is_on_record(outage: World) -> None:
    """A restart does not bring back the attempts of a parked key that the target alone has failed."""
    outage.target.down = True
    await outage.append("first", key="parked")
    async with outage.running():
        await outage.turn(8)
        [lane] = outage.log.parked(TARGET, ACCOUNTS)
        assert lane.setback.attempts == 4
        await outage.append(*range(6))
        await outage.quiet()

        [lane] = outage.log.parked(TARGET, ACCOUNTS)
        assert (lane.lane, lane.setback.attempts) == ("parked", 0)
        outage.target.down = False
        await outage.turn(60)


async def test_open_breaker_is_probed_with_one_key_after_the_other(outage: World) -> None:
    """Broken events do not hold it open for ever: others get through, and they are set aside in the end."""
    for number in range(20):
        outage.target.answers[str(number)].extend([Retry(reason="500")] * 1_000)
    await outage.append(*range(20))
    async with outage.running() as dispatcher:
        await outage.turn(30)
        assert "attempts failed" in dispatcher.status.hindrance
        for number in range(300):
            await outage.append(f"good{number}")
            await outage.turn(600)

        assert outage.target.delivered == [f"good{number}" for number in range(300)]
        assert {letter.attempts for letter in outage.letters} == {outage.schedule.attempts}
        assert (len(outage.letters), dispatcher.status.hindrance) == (20, "")


@pytest.mark.parametrize(
    "unsent", [Skip(reason="not for us", sent=False), Reject(reason="no id in it", sent=False)]
)
async def test_event_that_was_not_sent_says_nothing_of_the_target(outage: World, unsent: Outcome) -> None:
    """As a probe it leaves the breaker open, so that what fails on costs no attempt."""
    for number in range(20):
        outage.target.answers[str(number)].extend([Retry(reason="500")] * 1_000)
    await outage.append(*range(20))
    async with outage.running() as dispatcher:
        await outage.turn(30)
        for number in range(10):
            name = f"unsent{number}"
            outage.target.answers[name].append(unsent)
            await outage.append(name)
            await outage.turn_until(lambda name=name: name in outage.target.began)  # type: ignore[misc] # mypy infers no lambda with a default
            assert "attempts failed" in dispatcher.status.hindrance
        outage.target.answers.clear()
        await outage.turn(HOUR)
    assert set(outage.target.delivered) == {str(number) for number in range(20)}
    assert {receipt.attempts for receipt in outage.log.receipts} == {1}


async def test_nothing_is_tried_while_the_breaker_is_open(outage: World) -> None:
    """And nobody is called stuck for it."""
    outage.target.down = True
    await outage.append(*range(40))
    async with outage.running() as dispatcher:
        await outage.turn(1)
        tried = len(outage.target.attempts)
        await outage.turn(1)

        assert len(outage.target.attempts) == tried
        assert dispatcher.stalled_since is None
        outage.target.down = False
        await outage.turn(60)


@pytest.mark.parametrize(
    ("status", "asked", "held_s"),
    [
        (429, "3600", HOUR),
        (503, "3600", HOUR),
        (429, "Wed, 01 Jan 2025 01:00:12 GMT", HOUR),
        (503, "Wed, 01 Jan 2025 01:00:12 GMT", HOUR),
        (429, "604800", HOUR),
        (401, None, 60),
    ],
)
async def test_pause_is_kept_to_the_second_by_all_lanes(
    outage: World, status: int, asked: str | None, held_s: float
) -> None:
    """Those that wait for a retry, those that are parked, and new ones; and no attempt is consumed by it."""
    outage.in_flight = 1
    outage.target.answers["parked"].extend([Retry(reason="500")] * 5)
    await outage.append("parked")
    async with outage.running():
        await outage.turn(12)
        outage.target.answers["retried"].append(Retry(reason="500"))
        outage.target.answers["held"].append(lambda: judged(outage, status, asked))
        await outage.append("retried", "held", *range(20))
        await outage.turn(held_s / 2)
        await outage.append(*range(20, 40))
        await outage.turn(held_s / 2 - 0.1)
        assert outage.target.began == ["parked"] * 5 + ["retried", "held"]
        await outage.turn(0.2)

        attempts = {receipt.event_id: receipt.attempts for receipt in outage.log.receipts}
        assert attempts == {str(n): 1 for n in range(40)} | {"held": 1, "retried": 2, "parked": 6}


async def test_longest_pause_is_configured(outage: World) -> None:
    """A target that asks for a week is asked again after as long as the operator believes it."""
    outage.target.answers["0"].append(lambda: judged(outage, 429, "604800", max_hold_s=300.0))
    await outage.append(0)
    async with outage.running():
        await outage.turn(299.9)
        assert outage.target.began == ["0"]
        await outage.turn(0.2)

        assert outage.target.delivered == ["0"]


async def judged(world: World, status: int, asked: str | None, *, max_hold_s: float = HOUR) -> Outcome:
    """Return what every HTTP target makes of an answer that asks for a pause."""
    return verdict(Answer(status=status, retry_after=asked), world.clock, max_hold_s=max_hold_s)


async def test_flood_of_dead_letters_pauses_the_subscriber(outage: World) -> None:
    """It says so once, loses nothing, and goes on when somebody has resumed it."""
    outage.guard = GuardLimits(consecutive=10)
    for number in range(20):
        outage.target.answers[str(number)].append(Reject(reason="422"))
    outage.in_flight = 1
    await outage.append(*range(40))
    async with outage.running() as dispatcher:
        await outage.turn(60)
        assert len(outage.letters) == 10
        [(by, sentence)] = outage.pauses
        assert by == "guard"
        assert "streamer subscribers resume target" in sentence
        assert dispatcher.status.hindrance.startswith("paused: 10 events in a row became dead letters")
        dispatcher.admission.resume()
        outage.target.answers.clear()
        await outage.turn(1)

        assert len(outage.target.delivered) == 30
