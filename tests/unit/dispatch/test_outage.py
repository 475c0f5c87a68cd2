"""A target that is down costs no events and no attempts, and is not called in vain."""

import pytest

from streamer.dispatch.breaker import BreakerLimits
from streamer.dispatch.dispatcher import Limits
from streamer.dispatch.guard import GuardLimits
from streamer.events import Hold, Reject, Retry
from tests.unit.dispatch.world import World

HOUR = 3_600


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
    async with outage.running() as dispatcher:
        for second in range(HOUR // 10):
            await outage.append(second, key=f"k{second % 20}")
            await outage.turn(10)
            assert dispatcher._lanes.waiting <= 50
        assert len(outage.target.attempts) < 200
        outage.target.down = False
        await outage.turn(120)

        assert not outage.letters
        assert {receipt.attempts for receipt in outage.log.receipts} == {1}
    for key in range(20):
        found = [int(name) for name in outage.target.delivered if int(name) % 20 == key]
        assert found == list(range(key, HOUR // 10, 20))


async def test_open_breaker_is_probed_with_one_key_after_the_other(outage: World) -> None:
    """Broken events do not hold it open for ever: others get through, and they are set aside in the end."""
    for number in range(20):
        outage.target.answers[str(number)].extend([Retry(reason="500")] * 1_000)
    await outage.append(*range(20))
    async with outage.running() as dispatcher:
        await outage.turn(30)
        assert "attempts failed" in dispatcher.held
        for number in range(300):
            await outage.append(f"good{number}")
            await outage.turn(600)

        assert outage.target.delivered == [f"good{number}" for number in range(300)]
        assert {letter.attempts for letter in outage.letters} == {outage.schedule.attempts}
        assert (len(outage.letters), dispatcher.held) == (20, "")


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


async def test_retry_after_is_obeyed_to_the_second_by_all_lanes(outage: World) -> None:
    """And no attempt is consumed by it."""
    outage.target.answers["0"].append(Hold(reason="429", after_s=3600.0))
    outage.in_flight = 1
    await outage.append(*range(40))
    async with outage.running():
        await outage.turn(3599.9)
        assert outage.target.began == ["0"]
        await outage.turn(0.2)

        assert len(outage.target.delivered) == 40
        assert {receipt.attempts for receipt in outage.log.receipts} == {1}


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
        assert dispatcher.held.startswith("paused: 10 events in a row became dead letters")
        dispatcher.admission.resume()
        outage.target.answers.clear()
        await outage.turn(1)

        assert len(outage.target.delivered) == 30
