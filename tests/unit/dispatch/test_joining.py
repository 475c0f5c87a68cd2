"""Events that come in halves are delivered once, whatever happens to the process and its partitions."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from streamer.dispatch.forwarding import Upstream
from streamer.dispatch.redrive import LetterPlaces
from streamer.events import Entry, Forwarded, JsonObject, Partition, Reject, Retry, SubscriberName
from streamer.log.memory.feed import forwarded_to
from streamer.ports import Settlement
from tests.contracts.values import an_event
from tests.unit.dispatch.world import TARGET, World

INVOICE, CREDIT = SubscriberName("invoice"), SubscriberName("credit")
STOCK, SALE = SubscriberName("stock"), SubscriberName("sale")
HALVES = forwarded_to(TARGET)


@pytest.fixture
def world() -> World:
    """A subscriber after two others, with receipts."""
    return World(upstream=Upstream(names=(INVOICE, CREDIT)), receipts=True)


async def forward(
    world: World, name: SubscriberName, *events: str, key: str = "one", outcome: str = "delivered"
) -> None:
    """Let `name` forward its halves of `events`, and whatever follows happen."""
    keep(world, name, *events, key=key, outcome=outcome)
    await world.quiet()


def keep(
    world: World,
    name: SubscriberName,
    *events: str,
    key: str = "one",
    outcome: str = "delivered",
    again: bool = False,
) -> None:
    """Put the halves that `name` forwards into the log."""
    receipts: JsonObject = {name: {"outcome": outcome, "answer": {}, "attempts": 1, "at": world.clock.now()}}
    if again:
        receipts[name]["again"] = True
    forwarded = [
        Forwarded(to=TARGET, event=replace(an_event(event, key=key), receipts=receipts), at=0.0)
        for event in events
    ]
    world.log.settled.setdefault(name, {})
    world.log.settle(name, Settlement(assignment=1, progress={}, forwarded=forwarded))


def assert_done(world: World, events: int) -> None:
    """Check that each event has one receipt, and that nothing is left behind."""
    assert Counter(receipt.event_id for receipt in world.log.receipts) == Counter(
        str(number) for number in range(events)
    )
    assert world.log.settled[TARGET][HALVES].next_offset == 2 * events
    assert not world.log.parked(TARGET, HALVES)
    assert not world.log.letters


@pytest.mark.parametrize("seed", range(15))
async def test_crashes_leave_one_receipt_of_each_joined_event(world: World, seed: int) -> None:
    """Halves in any order, retries between them, a crash at any moment: in order, and once."""
    dice = random.Random(seed)  # noqa: S311 - chance, no secret
    left = {INVOICE: list(map(str, range(8))), CREDIT: list(map(str, range(8)))}
    while any(left.values()):
        name = dice.choice([each for each in left if left[each]])
        await forward(
            world, name, *(left[name].pop(0) for _ in range(min(len(left[name]), dice.randint(1, 3))))
        )
        if dice.random() < 0.3:
            world.target.answers[str(dice.randrange(8))].append(Retry(reason="503"))
        if dice.random() < 0.5:
            async with world.running():
                await world.turn(dice.choice([0, 1, 15]))
        else:
            await world.run_and_crash(dice.randrange(60))
            # Attempts in flight in the crashed process are over.
            world.target.open.clear()
    async with world.running():
        await world.turn_until(lambda: len(world.log.receipts) == 8)

    assert_done(world, 8)
    first = list(dict.fromkeys(world.target.delivered))
    assert first == [str(number) for number in range(8)]


async def test_halves_meet_where_their_partition_goes(world: World) -> None:
    """Lost before the second half came, and back after it."""
    async with world.running():
        await forward(world, INVOICE, "0", "1")
        feed = world.feed
        world.log.consumers.reassign(TARGET, [HALVES], to=None)
        await forward(world, CREDIT, "0")
        world.log.consumers.reassign(TARGET, [HALVES], to=feed)
        await world.turn(20)
        assert world.target.delivered == ["0"]
        await forward(world, CREDIT, "1")
        await world.turn(1)

    assert_done(world, 2)


async def test_partition_moves_while_a_joined_event_is_delivered(world: World) -> None:
    """The delivery counts, with both halves."""
    async with world.running():
        world.target.hang()
        await forward(world, INVOICE, "0")
        await forward(world, CREDIT, "0")
        feed = world.feed
        moving = asyncio.create_task(world.log.consumers.hand_over(TARGET, [HALVES], to=feed))
        await world.quiet()
        world.target.release()
        await world.turn(1)
        await moving

    assert world.target.delivered == ["0"]
    assert_done(world, 1)


async def test_many_that_wait_are_joined_in_order(world: World) -> None:
    """However many events of a record one of them is ahead."""
    names = [str(number) for number in range(60)]
    async with world.running():
        await forward(world, INVOICE, *names)
        await world.turn(20)
    async with world.running():
        await forward(world, CREDIT, *names)
        await world.turn(60)

    assert world.target.delivered == names
    assert_done(world, 60)


async def test_half_of_a_dead_letter_does_not_supersede_it(world: World) -> None:
    """Nor that of a later dead letter of its key; a later event that is delivered does."""
    for name in ("0", "1"):
        world.target.answers[name].append(Reject(reason="422"))
    async with world.running() as dispatcher:
        await forward(world, INVOICE, "0", "1", "2")
        await forward(world, CREDIT, "0", "1")
        letters = world.log.letters
        assert [letter.reason for letter in letters] == ["rejected", "rejected"]
        assert not await dispatcher.redelivery.superseded(letters, LetterPlaces(letters))
        await forward(world, CREDIT, "2")
        assert len(await dispatcher.redelivery.superseded(letters, LetterPlaces(letters))) == 2


async def test_event_that_is_skipped_once_it_is_joined_supersedes_nothing(world: World) -> None:
    """Though neither of its halves tells by itself."""
    world.target.answers["0"].append(Reject(reason="422"))
    async with world.running() as dispatcher:
        await forward(world, INVOICE, "0", "1")
        await forward(world, CREDIT, "0")
        await forward(world, CREDIT, "1", outcome="rejected")
        assert world.target.began == ["0"]
        assert not await dispatcher.redelivery.superseded(world.log.letters, LetterPlaces(world.log.letters))


async def test_half_that_comes_while_the_ownership_is_in_doubt_is_joined_at_once(world: World) -> None:
    """It does not wait for the day on which the other half would be overdue."""
    world.session_s = 6.0
    async with world.running():
        await forward(world, INVOICE, "0")
        await world.turn(20)
    async with world.running():
        feed, recall, calls = world.feed, world.feed.recall, list[Sequence[int]]()

        async def recall_slowly(partition: Partition, offsets: Sequence[int]) -> Sequence[Entry]:
            found = await recall(partition, offsets)
            calls.append(offsets)
            # The first call is for the head, and the second one for the places of the others.
            if len(calls) == 2:
                world.clock.jump(10)
                keep(world, CREDIT, "0")
            return found

        feed.recall = recall_slowly  # type: ignore[method-assign] # what happens meanwhile is the test's
        keep(world, INVOICE, "1")
        await world.turn(10)
        assert world.target.delivered == ["0"]


async def test_halves_that_came_become_one_dead_letter(world: World) -> None:
    """It says what is missing, and a redrive meets the half that comes at last."""
    world.upstream = Upstream(names=(INVOICE, CREDIT, STOCK))
    async with world.running() as dispatcher:
        await forward(world, INVOICE, "0")
        await forward(world, CREDIT, "0")
        await world.turn(20)
        [lane] = world.log.parked(TARGET, HALVES)
        assert lane.setback.last_error == "waits until stock forwards the event"
        await world.turn(86_400)
        [letter] = world.log.letters
        assert letter.error == "stock has not forwarded the event within 86400 s"
        assert letter.event is not None
        assert set(letter.event.receipts or {}) == {INVOICE, CREDIT}
        assert not world.log.parked(TARGET, HALVES)

        await forward(world, STOCK, "0")
        dispatcher.redelivery.redrive(letter, include_superseded=True)
        await world.turn(1)

    assert world.target.delivered == ["0"]
    assert not world.log.letters
    assert world.log.settled[TARGET][HALVES].next_offset == 3


async def test_half_that_comes_too_late_leaves_the_dead_letter_of_its_event(world: World) -> None:
    """Otherwise nobody could deliver that any more."""
    world.upstream = Upstream(names=(INVOICE, CREDIT), runs_rejected=True)
    world.target.answers["0"].append(Reject(reason="422"))
    async with world.running() as dispatcher:
        await forward(world, INVOICE, "0")
        await forward(world, CREDIT, "0", outcome="rejected")
        keep(world, CREDIT, "0", again=True)
        await world.quiet()
        letters = world.log.letters
        assert [letter.reason for letter in letters] == ["rejected", "incomplete"]
        dispatcher.redelivery.redrive(letters[0], include_superseded=True)
        await world.turn(1)

    assert world.target.delivered == ["0"]
    assert world.log.letters == letters[1:]


def keep_after_sale(world: World, name: SubscriberName, *, again: bool, outcome: str) -> None:
    """Put the half into the log that `name` forwards after a sale, which came by a redrive if `again`."""
    sale: JsonObject = {"outcome": "rejected", "at": 1.0}
    if again:
        sale = {"outcome": "delivered", "at": 2.0, "again": True}
    keep_receipts(world, {SALE: sale, name: {"outcome": outcome, "at": world.clock.now()}})


def keep_receipts(world: World, receipts: JsonObject) -> None:
    """Put the half of an event that has `receipts` into the log, forwarded by the last of them."""
    name = SubscriberName(list(receipts)[-1])
    forwarded = [Forwarded(to=TARGET, event=replace(an_event("0", key="one"), receipts=receipts), at=0.0)]
    world.log.settled.setdefault(name, {})
    world.log.settle(name, Settlement(assignment=1, progress={}, forwarded=forwarded))


async def test_redrive_before_a_fork_comes_to_the_join_by_both_ways(world: World) -> None:
    """Both halves come again, so the first of them waits for the other one."""
    world.upstream = replace(world.upstream, passed={INVOICE: frozenset({SALE}), CREDIT: frozenset({SALE})})
    async with world.running():
        for name in (INVOICE, CREDIT):
            keep_after_sale(world, name, again=False, outcome="skipped")
        await world.quiet()
        keep_after_sale(world, INVOICE, again=True, outcome="delivered")
        await world.turn(20)
        keep_after_sale(world, CREDIT, again=True, outcome="delivered")
        await world.turn(1)

    assert world.target.delivered == ["0"]
    assert not world.log.letters
    assert world.log.settled[TARGET][HALVES].next_offset == 4


async def test_halves_of_a_redrive_join_none_of_the_time_before(world: World) -> None:
    """Though one of these is slow: each time has its own two."""
    world.upstream = replace(world.upstream, passed={INVOICE: frozenset({SALE}), CREDIT: frozenset({SALE})})
    async with world.running():
        keep_after_sale(world, INVOICE, again=False, outcome="skipped")
        await world.quiet()
        keep_after_sale(world, INVOICE, again=True, outcome="delivered")
        await world.quiet()
        keep_after_sale(world, CREDIT, again=False, outcome="skipped")
        keep_after_sale(world, CREDIT, again=True, outcome="delivered")
        await world.turn(1)

    assert world.target.delivered == ["0"]
    assert not world.log.letters
    assert world.log.settled[TARGET][HALVES].next_offset == 4


async def test_redrive_on_one_way_alone_comes_too_late(world: World) -> None:
    """The other way's half was settled without it, and would never come again."""
    world.upstream = replace(world.upstream, passed={INVOICE: frozenset({SALE}), CREDIT: frozenset()})
    async with world.running():
        keep_after_sale(world, INVOICE, again=True, outcome="delivered")
        await world.turn(1)

    [letter] = world.log.letters
    assert (
        letter.error
        == "the event was redriven after the halves from credit had been settled without this half"
    )


@pytest.mark.parametrize("outcome", ["rejected", "skipped"])
async def test_redrive_that_fails_again_leaves_no_second_dead_letter(world: World, outcome: str) -> None:
    """The join was settled with the first rejection, and there is nothing to deliver."""
    async with world.running():
        keep_receipts(world, {INVOICE: {"outcome": outcome, "at": world.clock.now(), "again": True}})
        await world.turn(1)

    assert not world.log.letters
    assert world.log.settled[TARGET][HALVES].next_offset == 1


async def test_redrive_that_fails_again_is_the_half_for_which_another_one_waits(world: World) -> None:
    """As when the subscriber was added between the first rejection and the redrive."""
    async with world.running():
        await forward(world, CREDIT, "0")
        keep_receipts(world, {INVOICE: {"outcome": "rejected", "at": world.clock.now(), "again": True}})
        await world.turn(1)

    assert not world.log.letters
    assert world.log.settled[TARGET][HALVES].next_offset == 2


async def test_two_dead_letters_of_one_event_are_joined_by_their_redrives(world: World) -> None:
    """Though the second one is redriven a while after the first one."""
    async with world.running() as dispatcher:
        await forward(world, INVOICE, "0")
        await world.turn(86_500)
        await forward(world, CREDIT, "0")
        await world.turn(86_500)
        assert [letter.reason for letter in world.log.letters] == ["incomplete", "incomplete"]
        for letter in list(world.log.letters):
            dispatcher.redelivery.redrive(letter, include_superseded=True)
            await world.turn(5)

    assert world.target.delivered == ["0"]
    assert not world.log.letters
    assert not world.log.parked(TARGET, HALVES)


async def test_redrive_of_one_half_alone_ends_in_a_dead_letter_soon(world: World) -> None:
    """It does not hold up its key for a day once more."""
    async with world.running() as dispatcher:
        await forward(world, INVOICE, "0")
        await world.turn(86_500)
        dispatcher.redelivery.redrive(world.log.letters[0], include_superseded=True)
        await world.turn(1)
        assert not world.log.letters
        await world.turn(60)
        assert [letter.reason for letter in world.log.letters] == ["incomplete"]
