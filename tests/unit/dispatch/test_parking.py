"""A key that keeps failing is parked: the log keeps all of it, and others continue."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from streamer.dispatch.admission.circuit_breaker import BreakerLimits
from streamer.dispatch.lanes.lanes import Order
from streamer.dispatch.state import Limits
from streamer.events import Delivered, Hold, Outcome, Reject, Retry, SettledOffsets
from streamer.log.memory import MemoryLog
from tests.unit.dispatch.world import ACCOUNTS, TARGET, Answer, World, route

FAILED = Retry(reason="500")


def nested(depth: int) -> list[Any]:
    """Return lists within lists."""
    inner: list[Any] = []
    for _ in range(depth):
        inner = [inner]
    return inner


def fails(world: World, name: str, times: int = 1_000, answer: Outcome = FAILED) -> None:
    """Let the first attempts at an event fail."""
    world.target.answers[name].extend([answer] * times)


async def test_failing_key_is_parked_and_others_flow(world: World) -> None:
    """Its later events queue behind it in the log, so that progress goes on."""
    fails(world, "bad")
    await world.append("bad", "behind", key="k")
    async with world.running():
        await world.turn(20)
        await world.append("later", key="k")
        await world.append("other")
        await world.quiet()

        assert world.target.delivered == ["other"]
        assert world.progress == SettledOffsets(next_offset=4)
        [lane] = world.log.parked(TARGET, ACCOUNTS)
        assert (lane.lane, lane.offsets) == ("k", (0, 1, 2))


async def test_healed_key_is_delivered_in_order(world: World) -> None:
    """Events that came while it was parked wait for their turn."""
    fails(world, "bad", times=6)
    await world.append("bad", "behind", key="k")
    async with world.running():
        await world.turn(12)
        await world.append("later", key="k")
        await world.turn(60)

        assert world.target.delivered == ["bad", "behind", "later"]
        assert not world.log.parked(TARGET, ACCOUNTS)
        await world.append("fresh", key="k")
        await world.quiet()
        assert world.target.delivered[-1] == "fresh"


async def test_parked_event_on_which_when_fails_is_set_aside(world: World) -> None:
    """In its turn, after a restart too; what waits behind it goes on."""
    world.route = route(when="id != 'odd' || abs(data.nothing) > `0`")
    fails(world, "bad", times=6)
    await world.append("bad", "odd", "behind", key="k")
    async with world.running():
        await world.turn(12)
        assert world.letters == []
    async with world.running():
        await world.turn(60)

        (letter,) = world.letters
        assert letter.event is not None
        assert letter.event.id == "odd"
        assert "when fails on this event" in letter.error
        assert world.target.delivered == ["bad", "behind"]
        assert not world.log.parked(TARGET, ACCOUNTS)


async def test_restart_resets_neither_attempts_nor_the_time_of_the_next(world: World) -> None:
    """Who restarts again and again must not try an event for ever."""
    fails(world, "bad")
    await world.append("bad")
    async with world.running():
        await world.turn(12)
    spent = len(world.target.attempts)
    [lane] = world.log.parked(TARGET, ACCOUNTS)
    due_in_s = lane.setback.due_at - world.clock.now()
    async with world.running():
        assert len(world.target.attempts) == spent
        await world.turn(due_in_s - 0.1)
        assert len(world.target.attempts) == spent
        await world.turn(0.1)

        assert world.target.attempts == list(range(1, spent + 2))


async def test_stop_forgets_no_attempts_of_a_key_that_is_kept_back(world: World) -> None:
    """Its turn has come, and a hold of the whole target keeps it from it."""
    fails(world, "bad", times=1)
    world.target.answers["other"].append(Hold(reason="429", after_s=3600))
    await world.append("bad")
    async with world.running():
        await world.append("other")
        await world.turn(10)
        assert world.target.began == ["bad", "other"]
    [lane] = world.log.parked(TARGET, ACCOUNTS)
    assert lane.setback.attempts == 1
    async with world.running():
        await world.turn(10)
    attempts = dict(zip(world.target.began, world.target.attempts, strict=True))
    assert (attempts["bad"], sorted(world.target.delivered)) == (2, ["bad", "other"])


async def test_receipt_tells_of_a_try_that_another_process_made(world: World) -> None:
    """As far as it is known: when the event failed for the first time."""
    world.receipts = True
    fails(world, "bad", times=6)
    await world.append("bad")
    async with world.running():
        await world.turn(12)
    [lane] = world.log.parked(TARGET, ACCOUNTS)
    async with world.running():
        await world.turn(60)
    [receipt] = world.log.receipts
    assert (receipt.attempts, receipt.first_tried_at) == (7, lane.setback.first_failed_at)


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        ({"id": "7", "at": object}, "<class 'object'>"),
        ({"page": "x" * 50_000}, "{'page': 'xxx"),
        ({"deep": nested(100_000)}, "nested too deeply"),
    ],
)
async def test_receipt_keeps_what_fits_of_an_answer(world: World, answer: dict[str, Any], kept: str) -> None:
    """Whatever a plugin returns, the delivery is recorded, and no log grows by a page for each."""
    world.receipts = True
    world.target.answers["1"].append(Delivered(answer=answer))
    await world.append("1")
    async with world.running():
        pass
    [receipt] = world.log.receipts
    assert kept in str(receipt.answer)
    assert len(str(receipt.answer)) < 20_100


async def test_crash_loses_no_parked_event(world: World) -> None:
    """The log has it, or its offset is not settled."""
    fails(world, "bad", times=5)
    await world.append("bad", "behind", key="k")
    for rounds in range(1, 60, 7):
        await world.run_and_crash(rounds)
        await world.clock.turn(3)
    async with world.running():
        await world.turn(120)

    assert world.target.delivered == ["bad", "behind"]


async def test_parked_event_is_set_aside_in_the_end(world: World) -> None:
    """With its first and its last error, and those behind it have their turn."""
    fails(world, "bad", times=1, answer=Retry(reason="first"))
    fails(world, "bad")
    await world.append("bad", "behind", key="k")
    async with world.running():
        await world.turn(200)

    [letter] = world.letters
    assert (letter.reason, letter.first_error, letter.error) == ("retries_exhausted", "first", "500")
    assert letter.attempts == world.schedule.attempts == len(world.target.began) - 1
    assert (letter.partition, letter.offset) == (ACCOUNTS, 0)
    assert world.target.delivered == ["behind"]


async def never() -> Outcome:
    """Give no answer."""
    await asyncio.Event().wait()
    raise AssertionError


@pytest.mark.parametrize("answer", [FAILED, never])
async def test_one_key_of_a_thousand_holds_nobody_up(world: World, answer: Answer) -> None:
    """The other 999 are delivered as if it were not there; when it heals, its events arrive in order."""
    for each in (world, healthy := World()):
        each.limits, each.breaker = Limits(waiting=500), BreakerLimits()
        # Without an answer, each attempt takes the whole time-out, and that counts.
        each.schedule = replace(each.schedule, give_up_after_s=600.0)
    world.target.answers["0:0"].extend([answer] * 9)
    async with world.running(), healthy.running():
        for number in range(3):
            assert sorted(await others(world, number)) == sorted(await others(healthy, number))
        await world.turn(600)

    assert [name for name in world.target.delivered if name.startswith("0:")] == ["0:0", "0:1", "0:2"]


async def others(world: World, number: int) -> list[str]:
    """Return which events of a thousand keys are delivered before any time goes by; then let some go by."""
    began, before = world.clock.now(), len(world.target.delivered)
    for begin in range(0, 1_000, 100):
        for key in range(begin, begin + 100):
            await world.append(f"{key}:{number}", key=str(key))
    while len(world.target.delivered) < before + 999:
        await world.quiet()
        assert world.clock.now() == began
    found = world.target.delivered[before:]
    # The failing one is tried meanwhile.
    await world.turn(20)
    return [name for name in found if not name.startswith("0:")]


async def test_full_memory_parks_what_only_waits(world: World) -> None:
    """Otherwise keys that fail would keep healthy ones in the log."""
    world.limits = Limits(waiting=10)
    for number in range(10):
        fails(world, f"bad{number}", times=1, answer=Retry(reason="503", after_s=25.0))
        await world.append(f"bad{number}")
    await world.append(*range(20))
    async with world.running():
        assert len(world.target.delivered) == 20
        await world.turn(26)
        assert len(world.target.delivered) == 30


async def test_too_many_parked_events_pause_their_partition(world: World) -> None:
    """The log must not hold a second backlog."""
    world.limits = Limits(waiting=100, parked=5)
    fails(world, "bad", times=7)
    await world.append("bad", key="k")
    async with world.running():
        await world.turn(12)
        for number in range(20):
            await world.append(number, key="k")
            await world.quiet()
        [lane] = world.log.parked(TARGET, ACCOUNTS)
        assert len(lane.offsets) == 5
        await world.turn(120)

        assert world.target.delivered == ["bad", *map(str, range(20))]


async def test_event_that_the_log_lost_is_set_aside_and_its_lane_goes_on(world: World) -> None:
    """An operator hears of it; the others of its key are delivered."""
    fails(world, "bad")
    await world.append("bad", "behind", key="k")
    async with world.running():
        await world.turn(12)
        world.target.answers["bad"].clear()
        forget(world.log, 0)
        await world.turn(20)

    [letter] = world.letters
    assert (letter.reason, letter.partition, letter.offset) == ("parked_lost", ACCOUNTS, 0)
    assert world.target.delivered == ["behind"]


def forget(log: MemoryLog, offset: int) -> None:
    """Remove what a parked event holds, as somebody might who cleans up a topic."""
    for entries in log.consumers.parked[TARGET]._entries.values():
        entries.pop(offset, None)


@pytest.mark.parametrize(
    ("order", "first"),
    [(Order.KEY, ["bad", "other"]), (Order.PARTITION, ["bad"]), (Order.NONE, ["bad", "same", "other"])],
)
async def test_order_says_who_waits_for_whom(world: World, order: Order, first: list[str]) -> None:
    """Per key, per partition, or not at all."""
    world.order = order
    world.target.any_order = order is Order.NONE
    fails(world, "bad", times=4)
    await world.append("bad", "same", key="k")
    await world.append("other")
    async with world.running():
        assert world.target.began == first
        await world.turn(60)

    assert sorted(world.target.delivered) == ["bad", "other", "same"]


async def test_rejected_head_of_a_parked_lane_frees_the_next(world: World) -> None:
    """It becomes a dead letter at once, in the same record."""
    fails(world, "bad", times=4)
    fails(world, "bad", times=1, answer=Reject(reason="422"))
    await world.append("bad", "behind", key="k")
    async with world.running():
        await world.turn(60)

    assert [letter.attempts for letter in world.letters] == [5]
    assert world.target.delivered == ["behind"]


async def test_receipts_are_written_for_what_was_delivered(world: World) -> None:
    """With the attempts that it took and what the target said; for nothing else."""
    world.receipts = True
    fails(world, "late", times=5)
    fails(world, "bad", times=1, answer=Reject(reason="422"))
    world.target.answers["first"].append(Delivered(answer={"number": 7}))
    await world.append("first", "late", "bad")
    async with world.running():
        await world.turn(60)

    assert [(each.event_id, each.attempts, each.answer) for each in world.log.receipts] == [
        ("first", 1, {"number": 7}),
        ("late", 6, {}),
    ]
    [_, late] = world.log.receipts
    assert late.first_tried_at < late.delivered_at
