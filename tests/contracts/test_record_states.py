"""States of records, settled together with the change events that led to them."""

import re
from collections.abc import Mapping
from dataclasses import replace

import pytest

from streamer.errors import Fenced
from streamer.events import Entry, Event, EventId, JsonObject, LastChange, Partition, RecordState
from streamer.state.keeper import SUBSCRIBER
from tests.contracts.follower import Follower, following, keeping_states
from tests.contracts.values import CHANGES, Append, a_checkpoint, an_event, append_to
from tests.contracts.worlds import Log, World

ACCOUNT = "001000000000001AAA"
OTHER = "001000000000002AAA"


async def test_settled_states_can_be_looked_up(world: World) -> None:
    """A look-up returns each state as it was settled, and nothing for an unknown record."""
    async with world.open() as log:
        await append_changes(log, change(1, ACCOUNT), change(2, OTHER))
        async with keeping_states(log) as follower:
            states = await settled(follower, {"1": {"Name": "Ünal"}, "2": {"Size": 12.50, "Open": False}})

            found = await log.states.of("Account", [ACCOUNT, OTHER, "001000000000009AAA"])
    assert found == {state.record_id: state for state in states}


async def test_state_replaces_its_record_s_former_state(world: World) -> None:
    """The last of several states of a record counts, also within one settlement."""
    async with world.open() as log:
        await append_changes(log, change(1, ACCOUNT), change(2, ACCOUNT), change(3, ACCOUNT))
        async with keeping_states(log) as follower:
            await settled(follower, {"1": {"Name": "a"}, "2": {"Name": "b"}})
            await settled(follower, {"3": {"Name": "c"}})

            found = await log.states.of("Account", [ACCOUNT])
    assert found[ACCOUNT].fields == {"Name": "c"}
    assert found[ACCOUNT].last.event_id == "3"


async def test_deletion_is_a_state(world: World) -> None:
    """A deleted record has no fields, and its last change is the deletion."""
    async with world.open() as log:
        await append_changes(log, change(1, ACCOUNT), change(2, ACCOUNT, kind="deleted"))
        async with keeping_states(log) as follower:
            await settled(follower, {"1": {"Name": "a"}, "2": None})

            found = await log.states.of("Account", [ACCOUNT])
    assert found[ACCOUNT].is_deleted
    assert found[ACCOUNT].last.event_id == "2"


async def test_entities_have_states_of_their_own(world: World) -> None:
    """The same id in another entity is another record."""
    async with world.open() as log:
        await append_changes(log, change(1, ACCOUNT))
        async with keeping_states(log) as follower:
            await settled(follower, {"1": {"Name": "a"}})

            assert await log.states.of("Contact", [ACCOUNT]) == {}


async def test_former_owner_settles_no_state(world: World) -> None:
    """A settlement under a former assignment changes no state."""
    async with world.open() as log:
        await append_changes(log, change(1, ACCOUNT))
        async with keeping_states(log) as follower:
            await follower.read_until("1")
            stale = follower.stale()
            states = [state_of(entry, {"Name": "a"}) for entry in follower.entries]
            with pytest.raises(Fenced):
                await follower.feed.settle(replace(stale, states=states))
            await follower.settle()

            assert await log.states.of("Account", [ACCOUNT]) == {}


async def test_next_owner_finds_the_states(world: World) -> None:
    """After a restart, states and progress are where the last settlement left them."""
    async with world.open() as log:
        await append_changes(log, change(1, ACCOUNT), change(2, OTHER))
        async with keeping_states(log) as follower:
            states = await settled(follower, {"1": {"Name": "a"}, "2": None})
        origins = await log.states.origins(["Account"])
    async with world.open() as log:
        await append_changes(log, change(3, ACCOUNT), change(4, OTHER))
        async with keeping_states(log) as follower:
            assert sorted(await follower.read_until("3", "4")) == ["3", "4"]

            assert await log.states.of("Account", [ACCOUNT, OTHER]) == {s.record_id: s for s in states}
            assert await log.states.origins(["Account"]) == origins


async def test_states_are_no_events(world: World) -> None:
    """A subscriber to everything gets the change events alone."""
    async with world.open() as log, following(log) as everything, keeping_states(log) as follower:
        await append_changes(log, change(1, ACCOUNT))
        await settled(follower, {"1": {"Name": "a"}})
        await append_changes(log, change(2, ACCOUNT))

        assert await everything.read_until("2") == ["1", "2"]
        assert {partition.topic for partition in everything.assigned} == {
            entry.partition.topic for entry in everything.entries
        }


async def test_settled_offsets_reach_the_ends_with_the_last_change(world: World) -> None:
    """Not before: a look-up waits for this, to read states that have every change."""
    async with world.open() as log:
        await append_changes(log, change(1, ACCOUNT), change(2, ACCOUNT))
        async with keeping_states(log) as follower:
            await follower.read_until("1", "2")
            ends = await log.states.ends("Account")
            assert await behind(log, ends)
            await settled(follower, {"1": {"Name": "a"}, "2": {"Name": "b"}})

            assert not await behind(log, ends)
            assert not await behind(log, await log.states.ends("Account"))
            await append_changes(log, change(3, ACCOUNT))
            await follower.read_until("3")
            assert not await behind(log, ends)
            assert await behind(log, await log.states.ends("Account"))


async def test_each_entity_has_an_origin(world: World) -> None:
    """The origin says which store of states it is, and differs between entities."""
    async with world.open() as log, keeping_states(log):
        origins = await log.states.origins(["Account", "Contact"])

    assert origins.keys() == {"Account", "Contact"}
    assert all(re.fullmatch(r"[\w-]+", origin) for origin in origins.values())


async def behind(log: Log, ends: Mapping[Partition, int]) -> bool:
    """Return true while the keeper of states has not settled everything below `ends`."""
    reached = await log.states.settled(SUBSCRIBER, [each for each, end in ends.items() if end])
    return any(reached.get(each, 0) < end for each, end in ends.items())


def change(number: int, record_id: str, *, kind: str = "updated") -> Event:
    """Return a change event of an account."""
    return an_event(
        number,
        what=f"salesforce.cdc.Account.{kind}",
        key=record_id,
        data={"entity": "Account", "record_id": record_id, "fields": {}},
    )


async def append_changes(log: Log, *events: Event) -> None:
    """Append change events, after those that the log has."""
    await log.checkpoint(CHANGES)
    await append_to(log, Append(checkpoint=a_checkpoint(1), events=events))


async def settled(follower: Follower, fields: dict[str, JsonObject | None]) -> list[RecordState]:
    """Read the events with the ids in `fields`, settle the states that follow from them, and return them."""
    await follower.read_until(*fields)
    states = [
        state_of(entry, fields[entry.event.id]) for entry in follower.entries if entry.event.id in fields
    ]
    await follower.settle_states(states)
    return states


def state_of(entry: Entry, fields: JsonObject | None) -> RecordState:
    """Return the state of an event's record with these fields."""
    return RecordState(
        entity="Account",
        record_id=entry.event.key,
        fields=fields,
        last=LastChange(
            event_id=EventId(entry.event.id),
            time=entry.event.time,
            commit_number=int(entry.event.id),
            sequence=1,
            partition=entry.partition,
        ),
    )
