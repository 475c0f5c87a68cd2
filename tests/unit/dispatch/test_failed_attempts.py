"""Each failed attempt at an event is kept with its time, duration and error, in few bytes."""

import tracemalloc
from dataclasses import replace

import pytest

from streamer.dispatch.admission.circuit_breaker import BreakerLimits
from streamer.dispatch.delivery.foreign_values import untold
from streamer.dispatch.delivery.retry_schedule import RetrySchedule
from streamer.dispatch.lanes.head import RetryState, TextPool, packed, unpacked
from streamer.events import AttemptExchange, FailedAttempt, FailureClass, Hold, Receipt, Reject, Retry
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


EXCHANGE = AttemptExchange(request="POST https://erp.example.com/", status=503, headers={"retry-after": "5"})


def test_only_the_first_and_the_last_attempt_keep_the_exchange() -> None:
    """The attempts between them mostly repeat them, and cost memory while the key is parked."""
    kept: tuple[FailedAttempt, ...] = ()
    for status in range(500, 509):
        exchange = replace(EXCHANGE, status=status)
        kept = replace(ATTEMPT, answer=f"no {status}", exchange=exchange).added_to(kept)

    assert [each.exchange.status if each.exchange else None for each in kept] == [500, None, None, 508]
    assert [each.answer for each in kept] == ["no 500", "", "", "no 508"]


@pytest.mark.parametrize("number", range(6))
def test_packed_attempts_are_unpacked_unchanged(number: int) -> None:
    """A lane holds them packed."""
    bare = [ATTEMPT, replace(ATTEMPT, exchange=EXCHANGE, answer="no"), replace(ATTEMPT, error="ü")]
    kept: tuple[FailedAttempt, ...] = ()
    for each in (bare * 2)[:number]:
        kept = each.added_to(kept)

    assert unpacked(packed(kept, TextPool())) == kept


def test_error_is_cut_and_equal_errors_share_their_memory() -> None:
    """A hundred thousand parked keys can repeat one error."""
    texts = TextPool()
    lanes = [RetryState(), RetryState()]
    for each in lanes:
        each.noted(replace(ATTEMPT, error="x" * 2_000), texts)
    [first], [second] = [each.failed_attempts for each in lanes]

    assert len(first.error) == 200
    assert first.error is second.error


def test_parked_lane_has_its_attempts_in_few_bytes() -> None:
    """Each lane has other times, another request and another answer."""
    texts, lanes = TextPool(), [RetryState() for _ in range(1_500)]
    tracemalloc.start()
    for number, lane in enumerate(lanes):
        for at in range(5):
            headers = {"content-type": "application/json", "x-request-id": f"{number}-{at}-{'0' * 30}"}
            exchange = replace(EXCHANGE, headers=headers, size=number, digest=f"{number:016x}")
            attempt = FailedAttempt(
                at=at + 0.5, seconds=number + 0.25, failure=ATTEMPT.failure, error="no", exchange=exchange
            )
            lane.noted(attempt, texts)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert used / len(lanes) < 700


def test_attempt_keeps_the_answer_that_its_error_does_not_contain() -> None:
    """Nothing is kept twice."""
    assert untold('{"code": "E 7"}', "answered 503") == '{"code": "E 7"}'
    assert untold(" busy\n", "answered 503: busy") == ""


async def test_dead_letter_has_the_last_answer_once(world: World) -> None:
    """The letter itself has the answer, and its first attempt keeps the beginning of another."""
    first = Retry(reason="answered 503", answer="busy", exchange=EXCHANGE)
    world.target.answers["1"] += [first, Reject(reason="answered 422", answer="bad", exchange=EXCHANGE)]
    async with world.running():
        await world.append(1)
        await world.turn(60)

    [letter] = world.letters
    assert (letter.answer, [each.answer for each in letter.failed_attempts]) == ("bad", ["busy", ""])
    assert [each.exchange for each in letter.failed_attempts] == [EXCHANGE, EXCHANGE]
