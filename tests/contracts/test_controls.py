"""Contract of `Controls`: switches, orders and audit records persist, and every process sees them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

from streamer.controls import (
    AuditRecord,
    ChannelPosition,
    Control,
    ControlState,
    LetterFilter,
    PositionOrder,
    Redrive,
    SnapshotOrder,
    Switch,
    Wanted,
)
from streamer.events import DeadLetter, ReplayId, Stage, SubscriberName
from streamer.ports import Controls, LaneChange
from tests.contracts import parking
from tests.contracts.follower import following
from tests.contracts.parking import ONCE
from tests.contracts.values import a_dead_letter, an_append, an_event, append_to
from tests.contracts.worlds import Log, World
from tests.waiting import limited

TARGET, OTHER = SubscriberName("target"), SubscriberName("other")
PAUSED = Control(subscriber=TARGET, switch=Switch.PAUSED, by="operator", at=10.5, reason="it is mended")
REDRIVE = Redrive(
    id="r1",
    letters=LetterFilter(
        ids=frozenset({"a:target", "b:target"}),
        subscriber=TARGET,
        key="k",
        reason="rejected",
        error="ü",
        failed_from=1.0,
        failed_before=9.5,
    ),
    per_second=12.5,
    by="operator",
    at=9.5,
    skipped=frozenset({"a:target"}),
)

SNAPSHOT = SnapshotOrder(
    id="snapshot:1",
    channel="/data/ChangeEvents",
    entity="Invoice__c",
    where="Name = 'Ü\\' ('",
    fields=("Name", "Total__c"),
    since=7.25,
    by="operator",
    at=9.5,
)

POSITION = PositionOrder(
    id="position:1",
    channel="/data/ChangeEvents",
    place=ChannelPosition.REPLAY_ID,
    replay_id=ReplayId(b"\x00\xff"),
    since=7.25,
    repeat=True,
    by="Ü",
    at=9.5,
)

Until = Callable[[Callable[[ControlState], bool]], Awaitable[ControlState]]


def done(what: str, at: float = 1.0) -> AuditRecord:
    """Return an audit record."""
    return AuditRecord(at=at, what=what, by="operator", subscriber=TARGET, detail={"letters": 3})


@asynccontextmanager
async def watching(controls: Controls) -> AsyncIterator[Until]:
    """Return what waits until a control state comes that is as expected."""
    async with aclosing(controls.switched()) as boards:

        async def until(holds: Callable[[ControlState], bool]) -> ControlState:
            async with limited("the switchboard"):
                async for board in boards:
                    if holds(board):
                        return board
            raise AssertionError("the control state ended")

        yield until


async def letters(controls: Controls) -> dict[str, DeadLetter]:
    """Return the dead letters by their ids."""
    return {letter.id: letter for letter in await parking.letters(controls)}


async def test_nothing_is_switched_at_first(world: World) -> None:
    """A new log has no pause and no redrive, and says so without being asked twice."""
    async with world.open() as log, watching(log.controls) as until:
        assert await until(lambda _: True) == ControlState()


async def test_pause_outlives_a_restart_until_it_is_undone(world: World) -> None:
    """A paused target gets no delivery after a crash."""
    async with world.open() as log:
        await log.controls.switch(PAUSED, done("subscriber.paused"))
    async with world.open() as log, watching(log.controls) as until:
        board = await until(lambda board: board.pauses(TARGET))
        assert (board.controls, board.pauses(OTHER)) == ({TARGET: PAUSED}, False)
        await log.controls.switch(replace(PAUSED, switch=Switch.RUNNING), done("subscriber.resumed"))

        await until(lambda board: not board.pauses(TARGET))


async def test_change_reaches_whoever_watches_already(world: World) -> None:
    """Every process obeys, not only the one that was asked."""
    async with world.open() as log, watching(log.controls) as first, watching(log.controls) as second:
        for until in (first, second):
            await until(lambda _: True)
        await log.controls.switch(PAUSED, done("subscriber.paused"))
        for until in (first, second):
            await until(lambda board: board.pauses(TARGET))


async def test_redrive_is_open_until_it_ends(world: World) -> None:
    """A crash during a redrive does not lose it."""
    async with world.open() as log:
        await log.controls.order(REDRIVE, done("redrive.ordered"))
    async with world.open() as log, watching(log.controls) as until:
        board = await until(lambda board: bool(board.redrives))
        assert board.redrives == {"r1": REDRIVE}
        await log.controls.order(replace(REDRIVE, ended_at=20.0), done("redrive.ended"))

        await until(lambda board: not board.redrives)


async def test_letters_that_an_open_redrive_leaves_out_add_up(world: World) -> None:
    """Also those that another process leaves out; a crash loses none of them."""
    async with world.open() as log:
        await log.controls.order(REDRIVE, done("redrive.ordered"))
        await log.controls.leave_out("r1", {"a:target", "b:target"}, done("redrive.superseded"))
    async with world.open() as log, watching(log.controls) as until:
        wanted = replace(REDRIVE, skipped=frozenset({"a:target", "b:target"}))
        await until(lambda board: board.redrives == {"r1": wanted})

        assert [each.what for each in await log.controls.audit(last=1)] == ["redrive.superseded"]


async def test_redrive_that_has_ended_is_not_opened_by_what_it_leaves_out(world: World) -> None:
    """An operator cancels it at the moment in which a process leaves letters out."""
    async with world.open() as log:
        await log.controls.order(REDRIVE, done("redrive.ordered"))
        await log.controls.order(replace(REDRIVE, ended_at=20.0), done("redrive.cancelled"))
        await log.controls.leave_out("r1", {"b:target"}, done("redrive.superseded"))
        await log.controls.order(replace(REDRIVE, id="r2"), done("redrive.ordered"))
    async with world.open() as log, watching(log.controls) as until:
        board = await until(lambda board: "r2" in board.redrives)

        assert board.redrives == {"r2": replace(REDRIVE, id="r2")}


async def test_position_is_ordered_until_it_is_taken(world: World) -> None:
    """A crash does not lose the order, and each process sees it."""
    async with world.open() as log:
        await log.controls.order_position(POSITION, done("position.ordered"))
    async with world.open() as log, watching(log.controls) as until:
        board = await until(lambda board: bool(board.positions))
        assert board.positions == {POSITION.id: POSITION}
        await log.controls.order_position(replace(POSITION, ended_at=20.0), done("position.ended"))

        await until(lambda board: not board.positions)
        assert [each.what for each in await log.controls.audit(last=1)] == ["position.ended"]


async def test_snapshot_is_ordered_until_it_ends(world: World) -> None:
    """A crash loses neither the order nor a change of it."""
    paused = replace(SNAPSHOT, wanted=Wanted.PAUSED, by="another", at=10.5)
    async with world.open() as log:
        await log.controls.order_snapshot(SNAPSHOT, done("snapshot.ordered"))
        await log.controls.order_snapshot(replace(SNAPSHOT, id="snapshot:2"), done("snapshot.ordered"))
        await log.controls.order_snapshot(paused, done("snapshot.paused"))
    async with world.open() as log, watching(log.controls) as until:
        board = await until(lambda board: len(board.snapshots) == 2)
        assert board.snapshots == {SNAPSHOT.id: paused, "snapshot:2": replace(SNAPSHOT, id="snapshot:2")}
        await log.controls.order_snapshot(replace(paused, ended_at=20.0), done("snapshot.ended"))

        board = await until(lambda board: SNAPSHOT.id not in board.snapshots)
        assert list(board.snapshots) == ["snapshot:2"]
        assert [each.what for each in await log.controls.audit(last=2)] == [
            "snapshot.paused",
            "snapshot.ended",
        ]


async def test_change_of_a_snapshot_that_has_ended_is_an_order_again(world: World) -> None:
    """Its owner finds out that it has ended; nobody's order vanishes."""
    async with world.open() as log, watching(log.controls) as until:
        await log.controls.order_snapshot(SNAPSHOT, done("snapshot.ordered"))
        await log.controls.order_snapshot(replace(SNAPSHOT, ended_at=20.0), done("snapshot.ended"))
        late = replace(SNAPSHOT, wanted=Wanted.CANCELLED)
        await log.controls.order_snapshot(late, done("snapshot.cancelled"))

        assert (await until(lambda board: bool(board.snapshots))).snapshots == {SNAPSHOT.id: late}


async def test_what_was_done_is_written_down_in_order(world: World) -> None:
    """Each change leaves an audit record, and so does an action that changes nothing."""
    async with world.open() as log:
        await log.controls.switch(PAUSED, done("subscriber.paused", at=1.0))
        await log.controls.order(REDRIVE, done("redrive.ordered", at=2.0))
        await log.controls.note(done("breaker.opened", at=3.5))
    async with world.open() as log:
        assert list(await log.controls.audit(last=2)) == [
            done("redrive.ordered", 2.0),
            done("breaker.opened", 3.5),
        ]
        assert [record.what for record in await log.controls.audit(last=100)] == [
            "subscriber.paused",
            "redrive.ordered",
            "breaker.opened",
        ]


async def set_aside(log: Log, *names: str) -> None:
    """Append dead letters, as ingest does."""
    append = an_append(an_event("beside"))
    await append_to(log, replace(append, set_aside=[a_dead_letter(name) for name in names]))


async def test_dead_letters_can_be_listed_each_once(world: World) -> None:
    """The latest of each id, large and small; listing changes nothing."""
    large = replace(a_dead_letter("large"), raw=b"x" * 1_500_000)
    newer = replace(a_dead_letter("a"), error="newer")
    async with world.open() as log:
        await set_aside(log, "a", "b", "a")
        await append_to(log, replace(an_append(at=2), set_aside=[newer, large]))
        for _ in range(2):
            found = await letters(log.controls)
            assert found == {
                "a": replace(a_dead_letter("a"), error="newer"),
                "b": a_dead_letter("b"),
                "large": large,
            }


async def test_discarded_dead_letters_are_gone(world: World) -> None:
    """They are gone for good, with an audit record that names the operator."""
    async with world.open() as log:
        await set_aside(log, "a", "b", "c")
        await log.controls.discard(["a", "c", "never there"], done("deadletters.discarded"))
        assert list(await letters(log.controls)) == ["b"]
    async with world.open() as log:
        assert list(await letters(log.controls)) == ["b"]
        assert [record.what for record in await log.controls.audit(last=9)] == ["deadletters.discarded"]


async def test_redriven_dead_letter_becomes_a_parked_event_at_once(world: World) -> None:
    """It is never both, and never neither."""
    letter = replace(a_dead_letter("1:target", stage=Stage.DISPATCH), event=an_event(1))
    async with world.open() as log:
        await append_to(log, an_append(an_event(1)))
        async with following(log) as follower:
            await follower.read_until("1")
            [entry] = follower.entries
            await follower.settle(letters=[letter])
            change = LaneChange(partition=entry.partition, lane="1", setback=ONCE, joined=[entry])
            await follower.settle(lanes=[change], redriven=[letter.id])

            assert await follower.recall(entry) == [entry]
        assert not await letters(log.controls)


async def test_letter_that_is_redriven_and_set_aside_again_at_once_stays(world: World) -> None:
    """Its event can be refused again before the log has recorded the first half."""
    letter = replace(a_dead_letter("1:target", stage=Stage.DISPATCH), raw=b"x" * 1_500_000)
    again = replace(letter, raw=b"", error="refused once more")
    async with world.open() as log:
        await append_to(log, an_append(an_event(1)))
        async with following(log) as follower:
            await follower.read_until("1")
            await follower.settle(letters=[letter])
            for _ in range(2):
                await follower.settle(letters=[again], redriven=[letter.id])

        assert await letters(log.controls) == {letter.id: again}
