"""From the log to a target: in order per key, many keys at once, tried until settled."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from streamer.errors import ConfigurationError, RetryLater
from streamer.events import Delivered, Disable, Hold, Reject, Retry, SettledOffsets, Skip, Stage
from tests.unit.dispatch.world import ScriptedTarget, World, route


async def test_events_of_a_key_go_out_in_order_and_keys_at_once(world: World) -> None:
    """While the first of each key is open, no second goes out."""
    world.target.closed = True
    for key in "abc":
        await world.append(*(f"{key}{n}" for n in range(3)), key=key)
    async with world.running():
        assert sorted(world.target.began) == ["a0", "b0", "c0"]
        world.target.release()
        await world.quiet()

    for key in "abc":
        assert [name for name in world.target.delivered if name[0] == key] == [f"{key}{n}" for n in range(3)]
    assert world.progress == SettledOffsets(next_offset=9)


async def test_no_more_keys_than_allowed_are_delivered_at_once(world: World) -> None:
    """A target is not asked for more than it was set up for."""
    world.in_flight = 3
    world.target.closed = True
    await world.append(*range(10))
    async with world.running():
        assert len(world.target.open) == 3
        world.target.release()
        await world.quiet()
        assert len(world.target.delivered) == 10


async def test_backlog_takes_no_more_workers_than_attempts_at_once(world: World) -> None:
    """A worker continues with the next lane: a task for each event would cost more than the delivery."""
    world.in_flight = 3
    await world.append(*range(90))
    workers: set[asyncio.Task[Any] | None] = set()

    async def note() -> Delivered:
        workers.add(asyncio.current_task())
        return Delivered()

    for number in range(90):
        world.target.answers[str(number)].append(note)
    async with world.running():
        await world.quiet()
        assert len(world.target.delivered) == 90

    assert len(workers) <= 6


async def test_lane_that_waits_for_its_turn_is_not_overtaken_for_ever(world: World) -> None:
    """A target that bears less than before makes room for it first, and for those who are quick after it."""
    world.in_flight = 2
    world.target.closed = True
    await world.append("a", "b")
    async with world.running() as dispatcher:
        concurrency = dispatcher.admission.concurrency
        concurrency._limit = 3.0
        dispatcher._workers._freed.set()
        # Someone is about to begin while the limit shrinks.
        await world.quiet()
        concurrency._limit = 2.0
        await world.append(*(f"{number}" for number in range(30)))
        await world.quiet()
        assert world.target.began == ["a", "b"]
        world.target.release()
        await world.quiet()

    assert world.target.delivered[:3] == ["a", "b", "0"]


async def test_failed_delivery_is_retried_with_back_off_while_others_flow(world: World) -> None:
    """Its own key waits behind it, others do not."""
    world.target.answers["bad"].extend([Retry(reason="500")] * 2)
    await world.append("bad", "after", key="k")
    await world.append("other")
    async with world.running():
        assert world.target.delivered == ["other"]
        await world.turn(0.9)
        assert world.target.began.count("bad") == 1
        await world.turn(0.1)
        assert world.target.began.count("bad") == 2
        await world.turn(2)
        assert world.target.delivered == ["other", "bad", "after"]
    assert world.target.attempts == [1, 1, 2, 3, 1]


async def test_target_that_names_a_time_is_tried_then(world: World) -> None:
    """Its wish overrides the schedule."""
    world.target.answers["1"].append(Retry(reason="503", after_s=45.0))
    await world.append(1)
    async with world.running():
        await world.turn(44.9)
        assert not world.target.delivered
        await world.turn(0.1)
        assert world.target.delivered == ["1"]


async def broken() -> None:
    """Fail as a bug does."""
    raise ZeroDivisionError("a bug of the plugin's")


async def cancelled() -> None:
    """Wait for a task that somebody else has cancelled."""
    task = asyncio.ensure_future(asyncio.sleep(0))
    task.cancel()
    await task


async def nonsense() -> str:
    """Answer with something other than an outcome."""
    return "ok"


async def exiting() -> None:
    """End the process, as a script does."""
    raise SystemExit(1)


async def interrupting() -> None:
    """Raise what Ctrl-C raises."""
    raise KeyboardInterrupt


async def grouped() -> None:
    """Fail in several ways at once."""
    raise BaseExceptionGroup("both", [SystemExit(2), ValueError("no")])


async def closing() -> None:
    """Raise what a generator raises that is closed."""
    raise GeneratorExit


async def timing_out() -> None:
    """Raise what gevent's time-outs derive from."""
    raise TimeoutOfALibrary("1 second")


class TimeoutOfALibrary(BaseException):
    """Time-out that no `except Exception` catches."""


async def cancelling_itself() -> None:
    """Cancel the very task that delivers."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    "answer",
    [
        broken,
        cancelled,
        nonsense,
        exiting,
        interrupting,
        grouped,
        closing,
        timing_out,
        cancelling_itself,
    ],
)
async def test_plugin_that_misbehaves_is_retried(world: World, answer: Any) -> None:
    """Its event is not lost, its worker lives on, and others flow."""
    world.in_flight = 1
    world.target.answers["1"].append(answer)
    await world.append(1, 2)
    async with world.running():
        assert world.target.delivered == ["2"]
        await world.turn(1)
        assert world.target.delivered == ["2", "1"]


async def test_attempt_that_takes_too_long_is_retried(world: World) -> None:
    """A target that never answers does not hold its key for ever."""
    world.target.closed = True
    await world.append(1)
    async with world.running():
        await world.turn(29.9)
        assert world.target.open
        await world.turn(0.2)
        assert not world.target.open
        world.target.release()
        await world.turn(1)
        assert (world.target.delivered, world.target.attempts) == (["1"], [1, 2])


async def test_hold_costs_no_attempt_and_holds_every_key(world: World) -> None:
    """A target that asks for a pause gets it."""
    world.in_flight = 1
    world.target.answers["1"].append(Hold(reason="429", after_s=30.0))
    await world.append(1, 2, 3)
    async with world.running() as dispatcher:
        await world.turn(29.9)
        assert (world.target.began, dispatcher.status.hindrance) == (["1"], "429")
        await world.turn(0.2)
        assert (sorted(world.target.delivered), dispatcher.status.hindrance) == (["1", "2", "3"], "")
    assert world.target.attempts == [1, 1, 1, 1]


async def test_hold_is_logged_once_however_many_attempts_it_refuses(world: World) -> None:
    """Those in flight are all told the same."""
    for number in range(5):
        world.target.answers[str(number)].append(Hold(reason="429", after_s=30.0))
    await world.append(*range(5))
    with capture_logs() as lines:
        async with world.running():
            await world.turn(29)

    assert world.target.began == ["0", "1", "2", "3", "4"]
    assert [line["event"] for line in lines].count("subscriber.held") == 1


@pytest.mark.parametrize(("alert", "level"), [(False, "warning"), (True, "error")])
async def test_hold_that_somebody_must_end_is_an_error(world: World, *, alert: bool, level: str) -> None:
    """Refused credentials, for example, are an error; a pause that ends by itself is not."""
    world.target.answers["1"].append(Hold(reason="says so", after_s=1.0, alert=alert))
    await world.append(1)
    with capture_logs() as lines:
        async with world.running():
            await world.turn(2)
    assert [line["log_level"] for line in lines if line["event"] == "subscriber.held"] == [level]


async def test_rate_is_shared_by_all_keys_and_is_no_hold(world: World) -> None:
    """It bounds the attempts, and alarms nobody."""
    world.rate = (2.0, 3)
    await world.append(*range(13))
    async with world.running() as dispatcher:
        assert len(world.target.delivered) == 3
        status = dispatcher.status
        assert (status.hindrance, status.is_held) == ("the subscriber's rate limit is reached", False)
        assert dispatcher.stalled_since is None
        await world.turn(3.01)
        assert len(world.target.delivered) == 9
        await world.turn(10)
        assert len(world.target.delivered) == 13
        assert not dispatcher.status.is_held


async def test_rejected_event_becomes_a_dead_letter(world: World) -> None:
    """It is in the log with the target's answer, and the next of its key goes out."""
    world.target.answers["bad"].append(Reject(reason="422", hint="mend the body", answer="no such account"))
    await world.append("bad", "after", key="k")
    async with world.running():
        assert world.target.delivered == ["after"]

    (letter,) = world.letters
    assert (letter.id, letter.stage, letter.reason) == ("bad:target", Stage.DISPATCH, "rejected")
    assert (letter.error, letter.hint, letter.answer) == ("422", "mend the body", "no such account")
    assert (letter.attempts, letter.subscriber) == (1, "target")
    assert letter.event == world.log.events[0]


async def test_dead_letter_and_its_offset_are_recorded_together(world: World) -> None:
    """A log that is away when an event is set aside gets both later, or neither."""
    world.target.answers["1"].append(Reject(reason="422"))
    world.target.closed = True
    await world.append(1)
    async with world.running():
        world.log.faults.down = True
        world.target.release()
        await world.turn(5)
        assert (world.letters, world.progress) == ([], SettledOffsets(next_offset=0))
        world.log.faults.down = False
        await world.turn(2)

        assert len(world.letters) == 1
        assert world.progress == SettledOffsets(next_offset=1)


async def test_retries_end_in_a_dead_letter(world: World) -> None:
    """After the time that is set, with when it began and how often it was tried."""
    world.target.answers["1"].extend([Retry(reason="500", answer="oops")] * 99)
    await world.append(1)
    began = world.clock.now()
    async with world.running():
        await world.turn_until(lambda: bool(world.letters), within_s=90)

    (letter,) = world.letters
    assert (letter.reason, letter.error, letter.answer) == ("retries_exhausted", "500", "oops")
    assert letter.first_failed_at == began
    assert 60 <= letter.failed_at - began < 70
    assert letter.attempts == len(world.target.attempts)


async def test_broken_route_sets_its_event_aside_at_once(world: World) -> None:
    """Trying again would not mend it, and the target is not troubled."""
    world.route = route(text="{{ data.fields.Missing }}", strict=True)
    await world.append(1)
    async with world.running():
        (letter,) = world.letters

    assert "text fails on this event" in letter.error
    assert world.target.began == []


async def test_event_on_which_when_fails_is_set_aside(world: World) -> None:
    """It may be for this target, so it must not be skipped in silence."""
    world.route = route(when="id == '1' || abs(data.nothing) > `0`")
    await world.append(1, 2)
    async with world.running():
        (letter,) = world.letters

    assert (letter.event and letter.event.id, letter.reason) == ("2", "rejected")
    assert "when fails on this event" in letter.error
    assert world.target.began == ["1"]


async def test_skipped_events_are_settled(world: World) -> None:
    """By the predicate, or by the plugin."""
    world.route = route(when="id != '1'")
    world.target.answers["2"].append(Skip(reason="not for us"))
    await world.append(1, 2, 3)
    async with world.running():
        assert world.target.began == ["2", "3"]

    assert (world.progress, world.letters) == (SettledOffsets(next_offset=3), [])


async def test_disabled_target_keeps_its_backlog_in_the_log(world: World) -> None:
    """Nothing more goes out, nothing is lost, and a restart tries again."""
    world.in_flight = 1
    world.target.answers["1"].append(Disable(reason="410"))
    await world.append(1, 2)
    async with world.running() as dispatcher:
        await world.turn(10_000)
        assert (world.target.began, dispatcher.status.hindrance) == (["1"], "paused: 410")
    async with world.running():
        assert world.target.delivered == ["1", "2"]


@pytest.mark.parametrize(
    "failure",
    [
        OSError("no route"),
        ConfigurationError("certificate"),
        GeneratorExit(),
        TimeoutOfALibrary("1 second"),
        asyncio.CancelledError(),
    ],
)
async def test_plugin_that_does_not_open_says_whether_to_try_again(
    world: World, failure: BaseException
) -> None:
    """An unexpected error is retried; a wrong configuration must be mended."""

    class Unopened(ScriptedTarget):
        async def __aenter__(self) -> Any:
            raise failure

    world.target = Unopened()
    with pytest.raises((RetryLater, ConfigurationError)) as caught:
        await world.dispatcher().run(asyncio.Event())
    assert isinstance(caught.value, type(failure) if isinstance(failure, ConfigurationError) else RetryLater)


async def test_opening_is_cancelled_with_the_process(world: World) -> None:
    """A cancellation from outside does not count as the plugin's failure."""

    class NeverOpen(ScriptedTarget):
        async def __aenter__(self) -> Any:
            await asyncio.Event().wait()

    world.target = NeverOpen()
    opening = asyncio.create_task(world.dispatcher().run(asyncio.Event()))
    await world.turn(1)
    opening.cancel()
    await asyncio.wait([opening])

    assert opening.cancelled()


async def test_plugin_that_hangs_is_not_waited_for(world: World) -> None:
    """Neither when it opens nor when it closes: others could not be replaced meanwhile."""

    class Hanging(ScriptedTarget):
        async def __aexit__(self, *_: object) -> None:
            await asyncio.Event().wait()

    class NeverOpen(ScriptedTarget):
        async def __aenter__(self) -> Any:
            await asyncio.Event().wait()

    world.target = Hanging()
    await world.append(1)
    async with world.running():
        pass
    assert world.progress == SettledOffsets(next_offset=1)
    world.target = NeverOpen()
    opening = asyncio.create_task(world.dispatcher().run(asyncio.Event()))
    await world.turn(31)
    assert isinstance(opening.exception(), RetryLater)


@pytest.mark.parametrize(
    "failure", [OSError("already closed"), GeneratorExit(), TimeoutOfALibrary("1 second")]
)
async def test_plugin_that_does_not_close_spoils_nothing(world: World, failure: BaseException) -> None:
    """Its deliveries are recorded, and the stop is clean."""

    class Unclosed(ScriptedTarget):
        async def __aexit__(self, *_: object) -> None:
            raise failure

    world.target = Unclosed()
    await world.append(1)
    async with world.running():
        pass
    assert world.progress == SettledOffsets(next_offset=1)
