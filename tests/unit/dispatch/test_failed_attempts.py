"""Each failed attempt at an event is kept with its time, duration and error, in few bytes."""

from dataclasses import replace

from streamer.dispatch.admission.circuit_breaker import BreakerLimits
from streamer.dispatch.delivery.retry_schedule import RetrySchedule
from streamer.events import FailedAttempt, FailureClass, Hold, Receipt, Reject, Retry
from tests.unit.dispatch.world import ACCOUNTS, TARGET, World, middle

ATTEMPT = FailedAttempt(at=1.0, seconds=0.5, failure=FailureClass.TIMEOUT, error="timed out")
UNAVAILABLE = Retry(reason="answered 503", failure=FailureClass.HTTP_5XX)


def receipt(world: World) -> Receipt:
    """Return the only receipt."""
    [found] = world.log.receipts
    return found


async def test_receipt_has_the_attempts_before_it(world: World) -> None:
    """Each with what it answered; a request for a pause is an attempt too."""
    world.receipts = True
    world.target.answers["1"] += [
        UNAVAILABLE,
        Hold(reason="answered 429", after_s=5.0, failure=FailureClass.RATE_LIMITED),
    ]
    begun_at = world.clock.now()
    async with world.running():
        await world.append(1)
        await world.turn(60)

    attempts = receipt(world).failed_attempts
    assert [(each.failure, each.error) for each in attempts] == [
        (FailureClass.HTTP_5XX, "answered 503"),
        (FailureClass.RATE_LIMITED, "answered 429"),
    ]
    assert attempts[0].at == begun_at < attempts[1].at
    # Only the first of them is counted as a failure.
    assert receipt(world).attempts == 2


async def test_dead_letter_has_its_attempts(world: World) -> None:
    """The last of them is the one that ended it."""
    world.target.answers["1"] += [UNAVAILABLE, Reject(reason="answered 422", failure=FailureClass.HTTP_4XX)]
    async with world.running():
        await world.append(1)
        await world.turn(60)

    [letter] = world.letters
    assert [each.error for each in letter.failed_attempts] == ["answered 503", "answered 422"]


async def test_attempts_survive_a_restart_while_the_event_is_parked(world: World) -> None:
    """The log keeps them with the parked lane, and another process goes on."""
    world.receipts = True
    world.schedule = RetrySchedule(
        first_delay_s=2.0, max_delay_s=8.0, give_up_after_s=600.0, fast_tries=0, jitter=middle
    )
    world.target.answers["1"].append(UNAVAILABLE)
    async with world.running():
        await world.append(1, key="k")
        await world.quiet()
    [lane] = world.log.parked(TARGET, ACCOUNTS)
    assert [each.error for each in lane.setback.failed_attempts] == ["answered 503"]

    async with world.running():
        await world.turn(60)
    assert [each.error for each in receipt(world).failed_attempts] == ["answered 503"]


async def test_attempt_that_an_outage_excuses_was_made_all_the_same(world: World) -> None:
    """It does not count against the event, and is told."""
    world.receipts, world.breaker = True, BreakerLimits(minimum=1)
    world.target.down = True
    async with world.running():
        await world.append(1)
        await world.turn(1)
        world.target.down = False
        await world.turn(600)

    assert receipt(world).attempts == 1
    assert receipt(world).failed_attempts[0].error == "can't connect"


async def test_next_event_of_the_key_begins_without_attempts(world: World) -> None:
    """They belong to one event."""
    world.receipts = True
    world.target.answers["1"].append(UNAVAILABLE)
    async with world.running():
        await world.append(1, 2, key="k")
        await world.turn(60)

    assert {each.event_id: len(each.failed_attempts) for each in world.log.receipts} == {"1": 1, "2": 0}


def test_first_and_last_attempts_are_kept() -> None:
    """However many there were."""
    kept: tuple[FailedAttempt, ...] = ()
    for at in range(100):
        kept = replace(ATTEMPT, at=float(at)).added_to(kept)

    assert [each.at for each in kept] == [0, 97, 98, 99]


def test_error_is_cut_and_equal_errors_share_their_memory() -> None:
    """A hundred thousand parked keys can repeat one error."""
    long = replace(ATTEMPT, error="x" * 2_000)
    first, second = replace(long, error="x" * 2_000).added_to(long.added_to(()))

    assert len(first.error) == 200
    assert first.error is second.error
