"""Contract of `EventLog`: the guarantees that ingest relies on."""

import asyncio
from dataclasses import replace

import pytest

from streamer.errors import EventsRefused
from streamer.events import Channel, Event, EventId, OrgId, ReplayId
from streamer.ports import Append as GrowingAppend
from tests.contracts.follower import following
from tests.contracts.values import (
    CHANGES,
    ORG,
    Append,
    a_checkpoint,
    a_dead_letter,
    a_hole,
    an_append,
    an_event,
    append_to,
)
from tests.contracts.worlds import Log, World
from tests.waiting import limited


async def read_all(log: Log) -> list[str]:
    """Return the ids of all account events, sorted."""
    # Enough keys to end every partition, so that what was not read before is not there.
    ends = [an_event(f"end-{n}") for n in range(50)]
    await append_to(log, an_append(*ends, channel=Channel(org=ORG, path="/event/End__e")))
    async with following(log, name="reader-of-all") as follower:
        ids = await follower.read_until(*(end.id for end in ends))
    return sorted(id_ for id_ in ids if not id_.startswith("end-"))


async def test_channel_never_appended_has_no_checkpoint(world: World) -> None:
    """A new channel differs from one that stands at its beginning."""
    async with world.open() as log:
        assert await log.checkpoint(CHANGES) is None


async def test_checkpoint_comes_back_as_it_was_given(world: World) -> None:
    """Opaque replay ids, the time and the ids of a partly appended message survive."""
    checkpoint = replace(
        a_checkpoint(1),
        replay_id=ReplayId(b"\x00\x80\xff"),
        appended=(EventId("tx:1:001A"), EventId("ü")),
        open_replay_id=ReplayId(b"base64:"),
    )
    async with world.open() as log:
        await append_to(log, Append(checkpoint=checkpoint))

        assert await log.checkpoint(CHANGES) == checkpoint


async def test_event_comes_back_as_it_was_given(world: World) -> None:
    """Every field of an event survives, with all values that JSON can hold."""
    event = an_event("e", key="001A", data={"deep": [{"n": None, "f": 0.1, "i": 2**53, "t": "é\n\u0000"}]})
    async with world.open() as log:
        await append_to(log, an_append(event))
        async with following(log) as follower:
            await follower.read_until("e")

    assert follower.events == [event]


async def test_restart_keeps_events_and_checkpoint(world: World) -> None:
    """An append outlives a restart, and appending continues behind it."""
    async with world.open() as log:
        await append_to(log, an_append(an_event("a"), at=1))
    async with world.open() as log:
        assert await log.checkpoint(CHANGES) == a_checkpoint(1)
        await append_to(log, an_append(an_event("b"), at=2))

        assert await read_all(log) == ["a", "b"]


async def test_refused_event_leaves_nothing_visible(world: World) -> None:
    """A refused event takes its whole append with it, and is named."""
    async with world.open() as log:
        await append_to(log, an_append(an_event("a"), at=1))
        refused = replace(
            an_append(an_event("b"), world.refused_event(), at=2),
            set_aside=[a_dead_letter("x")],
            continuity=[a_hole()],
        )
        with pytest.raises(EventsRefused) as raised:
            await append_to(log, refused)

        assert [event.id for event in raised.value.events] == ["refused"]
        assert await log.checkpoint(CHANGES) == a_checkpoint(1)
        assert await read_all(log) == ["a"]
    assert not await world.dead_letters()
    assert not await world.continuity()


async def test_rest_can_be_appended_without_the_refused_event(world: World) -> None:
    """The channel goes on, and the refused event becomes a dead letter with it."""
    async with world.open() as log:
        with pytest.raises(EventsRefused):
            await append_to(log, an_append(an_event("a"), world.refused_event()))
        letter = replace(a_dead_letter("refused"), event=None)
        await append_to(log, replace(an_append(an_event("a")), set_aside=[letter]))

        assert await read_all(log) == ["a"]
        assert list(await world.dead_letters()) == [letter]


async def test_append_grows_until_it_is_committed(world: World) -> None:
    """Nothing is visible before the commit, and all of it after; a dropped append leaves nothing."""
    async with world.open() as log:
        growing, dropped = log.begin(CHANGES), log.begin(CHANGES)
        dropped.add([an_event("dropped")])
        growing.add([an_event("a")])
        size = growing.size
        growing.add([an_event("b"), an_event("c")])
        assert 0 < size < growing.size
        assert await log.checkpoint(CHANGES) is None
        await growing.commit(a_checkpoint(1))

        assert await log.checkpoint(CHANGES) == a_checkpoint(1)
        assert await read_all(log) == ["a", "b", "c"]


async def test_append_can_be_committed_again_without_the_refused_event(world: World) -> None:
    """The caller need not keep the events: the error holds the refused ones."""
    async with world.open() as log:
        growing = log.begin(CHANGES)
        with pytest.raises(EventsRefused) as raised:
            await added_and_committed(growing, an_event("a"), world.refused_event(), an_event("b"))
        assert [event.id for event in raised.value.events] == ["refused"]
        await growing.commit(a_checkpoint(1))

        assert await read_all(log) == ["a", "b"]


async def test_empty_append_moves_only_the_checkpoint(world: World) -> None:
    """A quiet channel's position moves without any event."""
    async with world.open() as log:
        await append_to(log, an_append(at=1))
        await append_to(log, an_append(at=2))

        assert await log.checkpoint(CHANGES) == a_checkpoint(2)
        assert await read_all(log) == []


async def test_dead_letters_and_holes_are_kept_with_their_checkpoint(world: World) -> None:
    """Dead letters and continuity records are recorded together with the checkpoint behind them."""
    letters, holes = [a_dead_letter("x"), a_dead_letter("y")], [a_hole("first"), a_hole("second")]
    async with world.open() as log:
        await append_to(log, Append(checkpoint=a_checkpoint(1), set_aside=letters, continuity=holes))

        assert sorted(await world.dead_letters(), key=lambda letter: letter.id) == letters
        assert list(await world.continuity()) == holes


async def test_redriven_letter_is_removed_with_its_event(world: World) -> None:
    """A letter that is set aside again in the same append stays, and an unknown one raises no error."""
    again = a_dead_letter("y", error="another error")
    first = Append(checkpoint=a_checkpoint(1), set_aside=[a_dead_letter(id_) for id_ in "xyz"])
    async with world.open() as log:
        await append_to(log, first)
        redriven = replace(an_append(an_event("a"), at=1), set_aside=[again], redriven=["x", "y", "unknown"])
        await append_to(log, redriven)

        kept = sorted(await world.dead_letters(), key=lambda letter: letter.id)
        assert kept == [again, a_dead_letter("z")]


async def test_event_set_aside_twice_is_one_dead_letter(world: World) -> None:
    """Reading an unreadable event again does not count it again."""
    again = a_dead_letter("x", error="still no such schema")
    async with world.open() as log:
        await append_to(log, Append(checkpoint=a_checkpoint(1), set_aside=[a_dead_letter("x")]))
        await append_to(log, Append(checkpoint=a_checkpoint(2), set_aside=[again]))

        assert list(await world.dead_letters()) == [again]


async def test_channels_append_at_once_without_losing_anything(world: World) -> None:
    """Many channels share the log; each keeps its own checkpoint."""
    channels = [Channel(org=ORG, path=f"/event/E{n}__e") for n in range(20)]

    async def relay(log: Log, channel: Channel) -> None:
        for at in range(3):
            await append_to(log, an_append(an_event(f"{channel}:{at}"), at=at, channel=channel))

    async with world.open() as log:
        async with asyncio.TaskGroup() as tasks:
            for channel in channels:
                tasks.create_task(relay(log, channel))

        assert [await log.checkpoint(c) for c in channels] == [a_checkpoint(2, channel=c) for c in channels]
        assert await read_all(log) == sorted(f"{c}:{at}" for c in channels for at in range(3))


async def test_appends_of_a_channel_take_effect_in_the_order_of_the_calls(world: World) -> None:
    """Appends that wait together stay in order, in the events and in the checkpoint."""
    async with world.open() as log:
        calls = (append_to(log, an_append(an_event(str(n), key="001A"), at=n)) for n in range(50))
        await asyncio.gather(*calls)

        assert await log.checkpoint(CHANGES) == a_checkpoint(49)
        async with following(log) as follower:
            assert await follower.read_until("49") == [str(n) for n in range(50)]


async def test_checkpoint_after_a_cancelled_append_tells_whether_it_took_effect(world: World) -> None:
    """A caller that stopped waiting finds events and checkpoint agreeing."""
    async with world.open() as log:
        await append_to(log, an_append(an_event("a"), at=1))
        appending = asyncio.ensure_future(append_to(log, an_append(an_event("b"), an_event("c"), at=2)))
        await asyncio.sleep(0)
        appending.cancel()
        await asyncio.wait([appending])

        took_effect = await log.checkpoint(CHANGES) == a_checkpoint(2)
        assert await read_all(log) == (["a", "b", "c"] if took_effect else ["a"])


async def test_event_of_a_megabyte_is_taken(world: World) -> None:
    """Salesforce's largest event fits."""
    event = an_event("large", data={"entity": "Account", "fields": {"Text": "x" * 1_000_000}})
    async with world.open() as log:
        await append_to(log, an_append(event))
        async with following(log) as follower:
            await follower.read_until("large")

    assert follower.events == [event]


async def test_lone_process_owns_every_channel(world: World) -> None:
    """Without other processes, all channels are ours."""
    channels = [Channel(org=ORG, path=f"/event/E{n}__e") for n in range(10)]
    async with world.open() as log, limited("all channels"):
        owned = log.owned(channels)
        async for mine in owned:
            if mine == frozenset(channels):
                break
        await owned.aclose()


async def added_and_committed(growing: GrowingAppend, *events: Event) -> None:
    """Add `events`, and commit; some logs refuse an event at once, others when they write it."""
    growing.add(events)
    await growing.commit(a_checkpoint(1))


async def test_orgs_are_those_of_all_checkpoints(world: World) -> None:
    """Also of channels that nobody reads any more."""
    other = OrgId("00D000000000002AAA")
    async with world.open() as log:
        assert await log.known_orgs() == frozenset()

        await append_to(log, an_append(channel=CHANGES))
        await append_to(log, an_append(channel=Channel(org=other, path="/event/Order__e")))

        assert await log.known_orgs() == {ORG, other}
