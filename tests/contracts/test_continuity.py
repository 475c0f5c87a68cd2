"""Contract of the continuity records: the last state of each is kept, and found again."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from streamer.controls import AuditRecord, ContinuityFilter
from streamer.events import Channel, ContinuityRecord, HoleAcknowledgement, HoleCause, Repair, Start
from tests.contracts.follower import following
from tests.contracts.values import (
    CHANGES,
    ORG,
    Append,
    a_checkpoint,
    a_hole,
    an_append,
    an_event,
    append_to,
)
from tests.contracts.worlds import Log, World

ORDERS = Channel(org=ORG, path="/event/Order__e")
EVERY = ContinuityFilter()


def an_open_hole(name: str, *, channel: Channel = CHANGES, at: float = 1.0) -> ContinuityRecord:
    """Return the first state of the hole `name`, recorded at `at`."""
    hole = replace(a_hole(name), id=name, channel=channel, state=Repair.OPEN, recorded_at=at)
    return replace(hole, progress={}, found=0, published=0, updated_at=None)


async def record(log: Log, *holes: ContinuityRecord) -> None:
    """Append the states of holes in one channel."""
    channel = holes[0].channel
    await log.checkpoint(channel)
    await append_to(log, Append(checkpoint=a_checkpoint(1, channel=channel), continuity=holes))


async def listed(log: Log, chosen: ContinuityFilter = EVERY, *, last: int = 10) -> Sequence[str]:
    """Return the ids of the records that an operator is shown."""
    return [record.id for record in await log.controls.continuity(chosen, last=last)]


async def test_log_without_holes_has_none(world: World) -> None:
    """Neither for a channel nor for an operator."""
    async with world.open() as log:
        assert list(await log.open_holes(CHANGES)) == []
        assert await listed(log) == []


async def test_open_holes_are_found_after_a_restart(world: World) -> None:
    """As they were when they were last appended, the oldest first, and those of no other channel."""
    first, second = an_open_hole("b", at=1.0), an_open_hole("a", at=2.0)
    begun = replace(first, progress={"last": "001Ü"}, found=200, published=199, updated_at=3.5)
    async with world.open() as log:
        await record(log, first, second)
        await record(log, an_open_hole("other", channel=ORDERS))
        await record(log, begun)
        assert list(await log.open_holes(CHANGES)) == [begun, second]
    async with world.open() as log:
        assert list(await log.open_holes(CHANGES)) == [begun, second]


@pytest.mark.parametrize("state", [Repair.FULL, Repair.PARTIAL, Repair.NONE])
async def test_hole_in_a_final_state_is_no_longer_open(world: World, state: Repair) -> None:
    """It stays listed, in that state."""
    hole, other = an_open_hole("a"), an_open_hole("b", at=2.0)
    ended = replace(hole, state=state, updated_at=9.0)
    async with world.open() as log:
        await record(log, hole, other)
        await record(log, ended)

        assert list(await log.open_holes(CHANGES)) == [other]
        assert list(await log.controls.continuity(EVERY, last=10)) == [ended, other]


async def test_acknowledged_hole_stays_acknowledged_after_a_restart(world: World) -> None:
    """It is listed at its place, with the operator and the reason, and the audit has the operator too."""
    hole, other = (
        replace(an_open_hole(name, at=at), state=Repair.NONE) for name, at in (("a", 1.0), ("b", 2.0))
    )
    known = replace(hole, acknowledged=HoleAcknowledgement(by="änne", at=9.5, reason="told the owners"))
    audit = AuditRecord(at=9.5, what="hole.acknowledged", by="änne", detail={"id": "a"})
    async with world.open() as log:
        await record(log, hole, other)
        await log.controls.acknowledge(known, audit)
        assert list(await log.controls.continuity(EVERY, last=10)) == [known, other]
    async with world.open() as log:
        assert list(await log.controls.continuity(EVERY, last=10)) == [known, other]
        assert list(await log.open_holes(CHANGES)) == []
        assert list(await log.controls.audit(last=10)) == [audit]


async def test_hole_that_is_met_again_keeps_the_time_of_its_first_record(world: World) -> None:
    """It is the same hole, at its place among the others."""
    async with world.open() as log:
        await record(log, an_open_hole("a", at=1.0), an_open_hole("b", at=2.0))
        await record(log, an_open_hole("a", at=3.0))

        assert list(await log.open_holes(CHANGES)) == [an_open_hole("a", at=1.0), an_open_hole("b", at=2.0)]


async def test_holes_are_found_by_their_ids(world: World) -> None:
    """In their last state, whatever it is; an id that was never recorded is left out."""
    ended = replace(an_open_hole("a:Ü"), state=Repair.PARTIAL, updated_at=9.0)
    async with world.open() as log:
        await record(log, an_open_hole("a:Ü"), an_open_hole("b"), an_open_hole("c"))
        await record(log, ended)
        assert await log.holes(["a:Ü", "c", "never"]) == {"a:Ü": ended, "c": an_open_hole("c")}
    async with world.open() as log:
        assert await log.holes(["a:Ü"]) == {"a:Ü": ended}
        assert await log.holes([]) == {}


async def test_hole_can_be_opened_again(world: World) -> None:
    """A gap event that is read once more is a hole once more."""
    hole = an_open_hole("a")
    async with world.open() as log:
        await record(log, replace(hole, state=Repair.FULL, updated_at=2.0))
        await record(log, hole)

        assert list(await log.open_holes(CHANGES)) == [hole]


async def test_old_hole_is_found_among_many(world: World) -> None:
    """However many were recorded after it."""
    old = replace(an_open_hole("old", at=0.0), cause=HoleCause.OVERFLOW)
    async with world.open() as log:
        await record(log, old, *(an_open_hole(str(n), at=float(n)) for n in range(1, 1_200)))

        assert await listed(log, ContinuityFilter(cause=HoleCause.OVERFLOW)) == ["old"]
        assert await listed(log, last=2) == ["1198", "1199"]
        assert len(await log.open_holes(CHANGES)) == 1_200


async def test_filters_pick_what_is_meant(world: World) -> None:
    """Each of them alone, and the state by the last one."""
    async with world.open() as log:
        await record(log, an_open_hole("a", at=1.0))
        await record(log, replace(an_open_hole("b", at=2.0), cause=HoleCause.GAP_EVENT, state=Repair.NONE))
        await record(log, an_open_hole("c", channel=ORDERS, at=3.0))
        await record(log, replace(an_open_hole("a", at=1.0), state=Repair.PARTIAL, updated_at=4.0))

        assert await listed(log) == ["a", "b", "c"]
        assert await listed(log, ContinuityFilter(channel=CHANGES.path)) == ["a", "b"]
        assert await listed(log, ContinuityFilter(cause=HoleCause.GAP_EVENT)) == ["b"]
        assert await listed(log, ContinuityFilter(state=Repair.OPEN)) == ["c"]
        assert await listed(log, ContinuityFilter(state=Repair.PARTIAL)) == ["a"]
        assert await listed(log, ContinuityFilter(recorded_from=2.0)) == ["b", "c"]
        assert await listed(log, last=2) == ["b", "c"]
        assert await listed(log, last=0) == []


async def test_dropped_append_records_no_hole(world: World) -> None:
    """A hole stands in the log with the checkpoint that explains it, or not at all."""
    async with world.open() as log:
        growing = log.begin(CHANGES)
        growing.add([])
        del growing

        assert list(await log.open_holes(CHANGES)) == []


async def test_cursor_returns_what_has_changed(world: World) -> None:
    """At first all records, and later those that were added, opened or ended, in their last states."""
    a, b = an_open_hole("a", at=1.0), an_open_hole("b", at=2.0)
    async with world.open() as log:
        await record(log, a)
        cursor = log.controls.continuity_cursor()
        assert list(await cursor.changed()) == [a]
        assert list(await cursor.changed()) == []

        full = replace(a, state=Repair.FULL, updated_at=3.0)
        await record(log, b, replace(an_open_hole("c", at=3.0), state=Repair.NONE))
        await record(log, full)
        assert [(each.id, each.state) for each in await cursor.changed()] == [
            ("a", Repair.FULL),
            ("b", Repair.OPEN),
            ("c", Repair.NONE),
        ]
        await record(log, a)
        assert [(each.id, each.state) for each in await cursor.changed()] == [("a", Repair.OPEN)]
    async with world.open() as log:
        await record(log, full)
        found = await log.controls.continuity_cursor().changed()
        assert {each.id: each.state for each in found} == {
            "a": Repair.FULL,
            "b": Repair.OPEN,
            "c": Repair.NONE,
        }


async def test_cursor_finds_the_hole_of_an_event_that_was_read(world: World) -> None:
    """Both were committed together, and a reader of the event must know of the hole."""
    async with world.open() as log:
        cursor = log.controls.continuity_cursor()
        await cursor.changed()
        await log.checkpoint(CHANGES)
        async with following(log, start=Start.EARLIEST) as follower:
            for number in range(1, 6):
                hole, event = an_open_hole(str(number), at=float(number)), an_event(str(number))
                await append_to(log, replace(an_append(event, at=number), continuity=(hole,)))
                await follower.read_until(event.id)
                assert list(await cursor.changed()) == [hole]
