"""Streamer reports once that a target fails, and once that it works again."""

import pytest
from structlog.testing import capture_logs

from streamer.clock import TurnedClock
from streamer.dispatch.admission.circuit_breaker import BreakerLimits
from streamer.dispatch.delivery.retry_schedule import Failures, RetrySchedule
from streamer.events import (
    EventId,
    FailedAttempt,
    FailureClass,
    Hold,
    ParkedLane,
    Retry,
    Setback,
    SubscriberName,
)
from tests.unit.dispatch.world import World, middle

TARGET = SubscriberName("sales")
FAILED = Retry(reason="the target answered 500", failure=FailureClass.HTTP_5XX)


@pytest.fixture
def clock() -> TurnedClock:
    """Time stands still."""
    return TurnedClock()


def test_begin_and_end_are_one_line_each(clock: TurnedClock) -> None:
    """However many attempts fail and succeed in between."""
    failures = Failures(name=TARGET, clock=clock)
    with capture_logs() as lines:
        for number in range(100):
            failures.failed(EventId(str(number)), FAILED)
            clock.jump(1.0)
            failures.worked(parked=0)
        clock.jump(10.0)
        failures.worked(parked=0)
        failures.worked(parked=0)

    assert [line["event"] for line in lines] == ["subscriber.failing", "subscriber.recovered"]
    assert lines[0]["error"] == "the target answered 500"
    assert lines[1]["failures"] == 100
    assert failures.last is None


def test_target_has_not_recovered_while_an_event_waits_for_another_attempt(clock: TurnedClock) -> None:
    """One poisoned key among many fails for days, once an hour."""
    failures = Failures(name=TARGET, clock=clock)
    failures.failed(EventId("1"), FAILED)
    clock.jump(3600.0)
    failures.worked(parked=1)

    assert failures.last is not None
    assert failures.last.count == 1
    failures.worked(parked=0)
    assert failures.last is None


async def test_status_has_the_last_error() -> None:
    """So that a list of subscribers says why one does not get on."""
    world = World()
    world.target.answers["1"] += [FAILED] * 2
    await world.append(1)
    async with world.running() as dispatcher:
        failure = dispatcher.status.last_failure
        assert failure is not None
        assert (failure.error, failure.failure, failure.count) == ("the target answered 500", "http_5xx", 1)
        assert dispatcher.status.next_try_at == world.clock.now() + 1.0


async def test_refused_credentials_are_a_failure_and_a_pause_is_none() -> None:
    """A target that asks for a pause works; one that refuses us does not, until somebody acts."""
    world = World()
    refused = Hold(reason="401", after_s=5.0, alert=True, failure=FailureClass.REFUSED_CREDENTIALS)
    world.target.answers["1"] += [Hold(reason="429", after_s=5.0), refused, refused]
    await world.append(1)
    with capture_logs() as lines:
        async with world.running() as dispatcher:
            busy = dispatcher.status.last_failure
            await world.turn(5)
            await world.turn(5)
            failure = dispatcher.status.last_failure
            next_try_at = dispatcher.status.next_try_at
            due_at = world.clock.now() + 5.0

    assert busy is None
    assert failure is not None
    assert (failure.error, failure.failure, failure.count) == ("401", "refused_credentials", 2)
    assert next_try_at == due_at
    assert "subscriber.failing" not in [line["event"] for line in lines]


async def test_status_has_the_time_of_the_next_try() -> None:
    """The first retry that is due or, if it is later, the end of a hold; none while nothing waits."""
    world = World()
    world.target.answers["1"] += [FAILED]
    await world.append(1)
    async with world.running() as dispatcher:
        world.target.answers["2"] += [Hold(reason="busy", after_s=20.0)]
        await world.append(2)
        await world.quiet()
        held = dispatcher.status.next_try_at
        dispatcher.admission.pause("maintenance")
        paused = dispatcher.status.next_try_at
        dispatcher.admission.resume()
        begin = world.clock.now()
        await world.turn(30)
        last = dispatcher.status.next_try_at

    assert (held, paused, last) == (begin + 20.0, None, None)


def test_failures_of_another_day_are_another_row(clock: TurnedClock) -> None:
    """An attempt succeeded in between, and then nothing failed for long."""
    failures = Failures(name=TARGET, clock=clock)
    failures.failed(EventId("1"), FAILED)
    clock.jump(1.0)
    failures.worked(parked=0)
    clock.jump(86_400.0)
    with capture_logs() as lines:
        failures.failed(EventId("2"), FAILED)

    assert failures.last is not None
    assert (failures.last.count, failures.last.since) == (1, failures.last.at)
    assert [line["event"] for line in lines] == ["subscriber.recovered", "subscriber.failing"]


async def test_nothing_fails_after_the_last_waiting_event_became_a_dead_letter() -> None:
    """The dead letter is listed as such; the subscriber is idle, and its next failure is a new one."""
    world = World()
    world.schedule = RetrySchedule(first_delay_s=1.0, max_delay_s=1.0, give_up_after_s=0.5)
    world.target.answers["1"] += [FAILED] * 5
    await world.append(1)
    async with world.running() as dispatcher:
        assert dispatcher.status.last_failure is not None
        await world.turn(30)
        status = dispatcher.status

    assert [letter.reason for letter in world.log.letters] == ["retries_exhausted"]
    assert (status.lag, status.last_failure) == (0, None)
    assert dispatcher._failures.last is None


async def test_subscriber_whose_events_are_all_parked_is_still_failing() -> None:
    """Nothing else waits, but each parked event waits for its next attempt, until the last is given up."""
    world = World()
    world.schedule = RetrySchedule(
        first_delay_s=60.0, max_delay_s=60.0, give_up_after_s=100.0, fast_tries=0, jitter=lambda _, top: top
    )
    world.target.answers["1"] += [FAILED] * 9
    world.target.answers["2"] += [FAILED] * 9
    await world.append(1, key="a")
    await world.append(2, key="b")
    async with world.running() as dispatcher:
        await world.turn(5)
        parked = dispatcher.status
        await world.turn(600)
        over = dispatcher.status

    assert (parked.lag, parked.parked) == (0, 2)
    assert parked.last_failure is not None
    assert (over.parked, over.last_failure, len(world.log.letters)) == (0, None, 2)


def outage() -> World:
    """Return a world with the usual breaker; failed events are parked, and tried every two minutes."""
    world = World(breaker=BreakerLimits())
    world.schedule = RetrySchedule(
        first_delay_s=240.0, max_delay_s=240.0, give_up_after_s=9e6, fast_tries=0, jitter=middle
    )
    return world


async def test_target_is_down_since_its_first_failure_after_its_last_answer() -> None:
    """An event that only its own content keeps from being delivered began to fail long before."""
    world = outage()
    world.target.answers["poison"] += [FAILED] * 9_999
    await world.append("poison")
    async with world.running() as dispatcher:
        await world.turn(7_200)
        await world.append(*range(9))
        await world.turn(1)
        world.target.down = True
        down_at = world.clock.now()
        await world.append(*"abcdefghijkl")
        await world.quiet()
        await world.turn(720)
        status = dispatcher.status

    assert (status.is_down, status.down_since) == (True, down_at)
    assert status.last_failure is not None
    assert status.last_failure.since < down_at


async def test_restart_does_not_begin_an_outage_again() -> None:
    """The log has the attempts of the events that wait, so a new process knows since when they fail."""
    world = outage()
    world.target.down = True
    down_at = world.clock.now()
    await world.append(*"abcdefghijkl")
    async with world.running():
        await world.turn(720)
    world.clock.jump(600)
    async with world.running() as dispatcher:
        await world.turn(1)
        at_once = dispatcher.status.last_failure
        await world.turn(720)
        later = dispatcher.status

    assert at_once is not None
    assert (at_once.since, at_once.error) == (down_at, "can't connect")
    assert (later.is_down, later.down_since) == (True, down_at)


async def test_outage_after_a_restart_begins_after_the_last_answer() -> None:
    """A parked event has failed for days, but the new process has seen the target work since."""
    world = outage()
    world.target.answers["poison"] += [FAILED] * 9_999
    await world.append("poison")
    async with world.running():
        await world.turn(600)
    async with world.running() as dispatcher:
        await world.append(*range(9))
        await world.turn(600)
        world.target.down = True
        down_at = world.clock.now()
        await world.append(*"abcdefghijkl")
        await world.quiet()
        await world.turn(100)
        status = dispatcher.status

    assert (status.is_down, status.down_since) == (True, down_at)


def test_parked_event_of_a_busy_target_is_no_failure(clock: TurnedClock) -> None:
    """A target that only asks for fewer requests works; its event can be parked for another reason."""
    failures = Failures(name=TARGET, clock=clock)
    busy, broken = (
        FailedAttempt(at=at, seconds=1.0, failure=failure, error=failure)
        for at, failure in ((5.0, FailureClass.RATE_LIMITED), (7.0, FailureClass.TIMEOUT))
    )
    failures.restored([parked_lane(busy)])
    calm = failures.last
    failures.restored([parked_lane(busy, broken)])

    assert calm is None
    assert failures.last is not None
    assert (failures.last.since, failures.last.error) == (7.0, "timeout")


def test_lane_that_an_earlier_version_parked_has_its_first_failure(clock: TurnedClock) -> None:
    """That version counted the attempts, and did not keep them."""
    failures = Failures(name=TARGET, clock=clock)
    failures.restored([parked_lane(counted=3), parked_lane()])

    assert failures.last is not None
    assert (failures.last.since, failures.last.error, failures.last.count) == (3.0, "last", 1)


def parked_lane(*attempts: FailedAttempt, counted: int = 0) -> ParkedLane:
    """Return a parked lane with these kept attempts, and with a number of `counted` ones."""
    setback = Setback(
        attempts=counted,
        first_failed_at=3.0,
        due_at=9.0,
        first_error="first",
        last_error="last",
        failed_attempts=attempts,
    )
    return ParkedLane(lane="a", offsets=(1,), setback=setback)
