"""Dead letters are delivered again as ordered: which, how fast, in which order, and until when."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from streamer.app import redriving as redriving_
from streamer.app.control_follower import AuditedWrites, ControlFollower
from streamer.app.redriving import Redrives, Redriving
from streamer.controls import AuditRecord, LetterFilter, Redrive
from streamer.dispatch.dispatcher import Dispatcher
from streamer.dispatch.redrive import pages
from streamer.errors import LogUnavailable
from streamer.events import DeadLetter, LetterHead, Partition, Reject
from streamer.log.memory.controls import MemoryControls
from streamer.ports import LetterCursor
from tests.unit.dispatch.world import ACCOUNTS, TARGET, World

BAD = 20


@pytest.fixture
async def world() -> World:
    """Twenty events of two keys were rejected; then the cause was mended."""
    world = World()
    for number in range(BAD):
        world.target.answers[str(number)].append(Reject(reason="422 no such field"))
        await world.append(number, key=f"k{number % 2}")
    async with world.running():
        await world.turn(10)
    assert len(world.letters) == BAD
    world.target.began.clear()
    return world


def ordered(world: World, *, key: str | None = None, per_second: float = 10.0) -> Redrive:
    """Return an order for what has failed so far."""
    letters = LetterFilter(subscriber=TARGET, key=key, failed_before=world.clock.now())
    return Redrive(id="r1", letters=letters, per_second=per_second, by="operator", at=world.clock.now())


def noted(world: World, what: str) -> AuditRecord:
    """Return what is written down of an order now."""
    return AuditRecord(at=world.clock.now(), what=what, by="operator", subscriber=TARGET)


@asynccontextmanager
async def redriving(world: World, order: Redrive) -> AsyncIterator[asyncio.Task[None]]:
    """Carry `order` out beside a dispatcher."""
    await world.log.controls.order(order, noted(world, "redrive.ordered"))
    async with world.running() as dispatcher:
        task = asyncio.create_task(carried_out(world, order, dispatcher).run())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait([task])


def carried_out(world: World, order: Redrive, dispatcher: Dispatcher) -> Redriving:
    """Return what carries `order` out."""
    return Redriving(
        order=order, controls=world.log.controls, dispatchers={TARGET: dispatcher}, clock=world.clock
    )


async def test_redrive_delivers_each_letter_once_and_ends(world: World) -> None:
    """In order per key, and with a record of its end."""
    async with redriving(world, ordered(world)) as task:
        await world.turn_until(task.done)

        for key in range(2):
            assert [n for n in map(int, world.target.delivered) if n % 2 == key] == [*range(key, BAD, 2)]
        assert (world.letters, len(world.target.began)) == ([], BAD)
        assert [each.what for each in await world.log.controls.audit(last=9)] == [
            "redrive.ordered",
            "redrive.ended",
        ]


@asynccontextmanager
async def obeying(world: World) -> AsyncIterator[None]:
    """Carry out what the control state shows, and nothing else."""
    async with world.running() as dispatcher, asyncio.TaskGroup() as group:
        dispatchers = {TARGET: dispatcher}
        redrives = Redrives(
            controls=world.log.controls, dispatchers=dispatchers, clock=world.clock, group=group
        )
        control_follower = ControlFollower(
            controls=world.log.controls,
            clock=world.clock,
            dispatchers=dispatchers,
            redrives=redrives,
            writes=AuditedWrites(group=group, clock=world.clock),
        )
        task = group.create_task(control_follower.run())
        yield
        task.cancel()
        control_follower.close()


async def test_cancelled_order_moves_nothing_more(world: World) -> None:
    """Whichever process was asked: what is handed over is delivered, and the rest stay dead letters."""
    order = ordered(world, per_second=2.0)
    await world.log.controls.order(order, noted(world, "redrive.ordered"))
    async with obeying(world):
        await world.turn(2)
        await world.log.controls.order(
            replace(order, ended_at=world.clock.now()), noted(world, "redrive.cancelled")
        )
        await world.turn(60)

    done = len(world.target.delivered)
    assert 0 < done < BAD
    assert len(world.letters) == BAD - done
    assert [each.what for each in await world.log.controls.audit(last=9)] == [
        "redrive.ordered",
        "redrive.cancelled",
    ]


async def test_letter_that_is_discarded_meanwhile_is_not_delivered(world: World) -> None:
    """A list of letters is used for some seconds only, and then read again."""
    async with redriving(world, ordered(world, per_second=0.5)) as task:
        await world.turn(3)
        gone = [letter.id for letter in world.letters][-10:]
        await world.log.controls.discard(gone, noted(world, "deadletters.discarded"))
        await world.turn_until(task.done)

    assert sorted(map(int, world.target.delivered)) == [*range(10)]


@pytest.mark.parametrize(("per_second", "limit"), [(0.01, 1), (0.5, 5), (10, 100), (1_000, 100)])
async def test_pass_takes_what_is_handed_over_in_some_seconds(
    world: World, per_second: float, limit: int
) -> None:
    """One letter at least, and no more than fit into memory."""
    order = ordered(world, per_second=per_second)
    async with world.running() as dispatcher:
        assert carried_out(world, order, dispatcher)._batch_limit() == limit


async def test_letters_of_other_processes_do_not_stand_before_ours(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are, and whichever process owns them, they only keep the order open."""
    monkeypatch.setattr(redriving_, "_MAX_BATCH", 5)
    elsewhere = [
        replace(letter, id=f"away-{letter.id}", partition=Partition(topic="a", number=0))
        for letter in world.letters
    ]
    world.log._set_aside(elsewhere)
    async with redriving(world, ordered(world)) as task:
        await world.turn(60)
        assert len(world.target.delivered) == BAD
        assert not task.done()
    assert world.letters == elsewhere


@pytest.mark.parametrize("most", [1, 3, 15])
async def test_no_letter_is_left_out_however_many_must_be_compared(
    world: World, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Those that do not fit into one comparison are neither forgotten nor taken for delivered."""
    monkeypatch.setattr(pages, "__defaults__", (most,))
    async with redriving(world, ordered(world)) as task:
        await world.turn_until(task.done)

    assert (world.letters, len(world.target.delivered)) == ([], BAD)


@dataclass
class Counted:
    """Numbers of heads and letters that were read from a log."""

    heads: int = 0
    letters: int = 0

    def of(self, controls: MemoryControls, monkeypatch: pytest.MonkeyPatch) -> None:
        """Count what `controls` returns."""
        made = controls.letter_cursor

        def letter_cursor() -> LetterCursor:
            return CountedCursor(made(), self)

        monkeypatch.setattr(controls, "letter_cursor", letter_cursor)


@dataclass
class CountedCursor:
    """Cursor that counts what it returns."""

    cursor: LetterCursor
    counted: Counted

    async def heads(self) -> AsyncGenerator[LetterHead, None]:
        """Count heads."""
        async for head in self.cursor.heads():
            self.counted.heads += 1
            yield head

    async def kept(self, ids: Collection[str]) -> Collection[str]:
        """Count those that are looked for as heads."""
        self.counted.heads += len(ids)
        return await self.cursor.kept(ids)

    async def letters(self, ids: Collection[str]) -> AsyncGenerator[DeadLetter, None]:
        """Count letters."""
        async for letter in self.cursor.letters(ids):
            self.counted.letters += 1
            yield letter


@pytest.mark.parametrize("number", [100, 400])
async def test_redrive_reads_each_letter_once(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """So a hundred times the letters take a hundred times as long, and not ten thousand times."""
    world = World()
    for n in range(number):
        world.target.answers[str(n)].append(Reject(reason="422 no such field"))
        await world.append(n, key=f"k{n % 7}")
    async with world.running():
        await world.turn(number)
    assert len(world.letters) == number
    counted = Counted()
    counted.of(world.log.controls, monkeypatch)
    # Ten a pass.
    async with redriving(world, ordered(world, per_second=1.0)) as task:
        await world.turn_until(task.done)

    assert not world.letters
    assert counted.letters <= 1.2 * number
    # Of each: its head, and a look whether its redrive was recorded.
    assert counted.heads <= 2.4 * number


async def test_waiting_for_other_processes_costs_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that owns none of the letters does not read them again and again."""
    elsewhere = [
        replace(world.letters[0], id=f"away-{n}", partition=Partition(topic="a", number=0))
        for n in range(1_000)
    ]
    world.log._set_aside(elsewhere)
    counted = Counted()
    counted.of(world.log.controls, monkeypatch)
    async with redriving(world, ordered(world)) as task:
        await world.turn(60)
        begun = counted.heads
        await world.turn(600)

        assert not task.done()
    assert counted.letters <= BAD + 5
    # Forty looks at a hundred ids: whether the first ones are still there.
    assert counted.heads - begun <= 45 * 100


async def test_letter_that_failed_again_elsewhere_does_not_keep_an_order_open(world: World) -> None:
    """Another process has redriven it, and it is a letter of a later time now."""
    elsewhere = replace(world.letters[0], id="away", partition=Partition(topic="a", number=0))
    world.log._set_aside([elsewhere])
    async with redriving(world, ordered(world)) as task:
        await world.turn(30)
        assert not task.done()
        world.log._set_aside([replace(elsewhere, failed_at=world.clock.now())])
        await world.turn_until(task.done)

    assert [letter.id for letter in world.letters] == ["away"]


async def test_redrive_is_no_faster_than_ordered(world: World) -> None:
    """A target that has just come back is not flooded."""
    async with redriving(world, ordered(world)):
        await world.turn(1.0)
        assert 8 <= len(world.target.delivered) <= 12


async def test_only_what_is_meant_is_redriven(world: World) -> None:
    """The others stay where they are."""
    async with redriving(world, ordered(world, key="k1")) as task:
        await world.turn_until(task.done)

    assert {int(name) % 2 for name in world.target.delivered} == {1}
    assert len(world.letters) == BAD / 2


async def test_what_fails_again_is_not_redriven_for_ever(world: World) -> None:
    """It is a letter again, of a later time than the order means."""
    await world.clock.turn(1)
    for number in range(BAD):
        world.target.answers[str(number)].append(Reject(reason="422 still"))
    async with redriving(world, ordered(world)) as task:
        await world.turn_until(task.done)

    assert len(world.target.began) == len(world.letters) == BAD


async def test_redrive_goes_on_after_a_crash(world: World) -> None:
    """A redriven letter no longer exists."""
    order = ordered(world)
    async with redriving(world, order):
        await world.turn(0.5)
    done = len(world.target.delivered)
    assert 0 < done < BAD
    async with redriving(world, order) as task:
        await world.turn_until(task.done)

    assert len(world.target.began) == BAD


async def test_log_that_is_away_delays_a_redrive(world: World) -> None:
    """It goes on when the log is back."""
    async with redriving(world, ordered(world)) as task:
        world.log.faults.down = True
        await world.turn(30)
        world.log.faults.down = False
        await world.turn_until(task.done)

    assert len(world.target.delivered) == BAD


async def test_letter_that_is_superseded_before_its_turn_is_left_out(world: World) -> None:
    """The target keeps the newer state, the letters stay, and the order ends."""
    async with redriving(world, ordered(world, per_second=1)) as task:
        await world.turn(3)
        await world.append("newer", key="k1")
        await world.turn_until(task.done)

    delivered = world.target.delivered
    assert "newer" in delivered
    stale = [each for each in delivered[delivered.index("newer") :] if each != "newer" and int(each) % 2]
    assert stale == []
    left = {int(letter.event.id) for letter in world.letters if letter.event}
    assert len(left) >= 5
    assert {number % 2 for number in left} == {1}
    records = await world.log.controls.audit(last=9)
    counts = [each.detail["letters"] for each in records if each.what == "redrive.superseded"]
    assert (sum(counts), records[-1].what) == (len(left), "redrive.ended")


async def test_letter_that_was_superseded_since_it_was_counted_is_left_out(world: World) -> None:
    """Though no process of this moment has seen what superseded it."""
    order = ordered(world)
    async with world.running():
        await world.append("newer", key="k1")
        await world.quiet()
    async with redriving(world, order) as task:
        await world.turn_until(task.done)

    assert {int(each) % 2 for each in world.target.delivered if each != "newer"} == {0}
    assert len(world.letters) == BAD / 2


async def test_superseded_letters_are_delivered_when_the_order_includes_them(world: World) -> None:
    """Also of a key that is never quiet."""
    order = replace(ordered(world), include_superseded=True)
    async with redriving(world, order) as task:
        for number in range(100):
            await world.append(f"newer{number}", key=f"k{number % 2}")
            await world.turn(0.1)
        await world.turn_until(task.done)

    assert (world.letters, len(world.target.delivered)) == ([], BAD + 100)


async def test_letters_are_compared_anew_when_their_partition_comes_back(world: World) -> None:
    """Another process can have delivered what supersedes them."""
    order = ordered(world, per_second=0.5)
    async with redriving(world, order) as task:
        await world.turn(3)
        world.log.consumers.reassign(TARGET, [ACCOUNTS], to=None)
        await world.quiet()
        await world.append("newer", key="k1")
        async with world.running():
            await world.turn(2)
        world.log.consumers.reassign(TARGET, [ACCOUNTS], to=world.log.consumers.feeds[0])
        await world.turn_until(task.done)

    delivered = world.target.delivered
    assert [each for each in delivered[delivered.index("newer") + 1 :] if int(each) % 2] == []


async def test_what_another_process_left_out_does_not_keep_an_order_open(world: World) -> None:
    """Whoever sees that nothing is left ends it."""
    elsewhere = [
        replace(letter, id=f"away-{letter.id}", partition=Partition(topic="a", number=0))
        for letter in world.letters
    ]
    world.log._set_aside(elsewhere)
    async with obeying(world):
        order = ordered(world)
        await world.log.controls.order(order, noted(world, "redrive.ordered"))
        await world.turn(60)
        assert world.letters == elsewhere
        skipped = frozenset(letter.id for letter in elsewhere)
        await world.log.controls.leave_out("r1", skipped, noted(world, "redrive.superseded"))
        await world.turn(30)

        assert (await world.log.controls.audit(last=1))[0].what == "redrive.ended"


async def test_what_is_left_out_is_told_when_the_log_is_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process could not end the order otherwise."""
    write, failures = MemoryControls.leave_out, 1

    async def leave_out(
        controls: MemoryControls, redrive_id: str, letters: Collection[str], audit: AuditRecord, /
    ) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise LogUnavailable("for a moment")
        await write(controls, redrive_id, letters, audit)

    monkeypatch.setattr(MemoryControls, "leave_out", leave_out)
    elsewhere = replace(world.letters[0], id="away", partition=Partition(topic="a", number=0))
    world.log._set_aside([elsewhere])
    meant = ordered(world)
    async with world.running():
        await world.append("newer", key="k1")
        await world.quiet()
    async with redriving(world, meant):
        await world.turn(60)
        async with aclosing(world.log.controls.switched()) as boards:
            skipped = (await anext(boards)).redrives["r1"].skipped

    assert not failures
    assert skipped == {letter.id for letter in world.letters} - {"away"}


async def test_order_that_is_cancelled_while_it_leaves_letters_out_stays_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cancellation is written between the last look at the order and the record of what it leaves out."""
    order, note = ordered(world, per_second=0.5), MemoryControls.note

    async def noted_after_the_cancellation(controls: MemoryControls, audit: AuditRecord, /) -> None:
        await note(controls, audit)
        if audit.what == "redrive.superseded":
            cancelled = replace(order, ended_at=world.clock.now())
            await controls.order(cancelled, noted(world, "redrive.cancelled"))

    monkeypatch.setattr(MemoryControls, "note", noted_after_the_cancellation)
    async with world.running():
        await world.append("newer", key="k1")
        await world.quiet()
    async with redriving(world, order):
        # The first batch takes ten seconds.
        await world.turn(12)

    assert [each.what for each in await world.log.controls.audit(last=2)] == [
        "redrive.superseded",
        "redrive.cancelled",
    ]
    async with aclosing(world.log.controls.switched()) as boards:
        assert (await anext(boards)).redrives == {}


async def test_cancelled_order_is_not_opened_again_by_what_it_leaves_out(world: World) -> None:
    """The pass under way when it was cancelled has found superseded letters."""
    order = ordered(world, per_second=1)
    async with redriving(world, order) as task:
        await world.turn(3)
        await world.append("newer", key="k1")
        await world.turn(0.1)
        await world.log.controls.order(
            replace(order, ended_at=world.clock.now()), noted(world, "redrive.cancelled")
        )
        await world.turn(30)
        task.cancel()

    async with aclosing(world.log.controls.switched()) as boards:
        assert (await anext(boards)).redrives == {}
