"""A look-up reads states that have every change that was in the log when it began."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from streamer.errors import RecordsRefused, RetryLater
from streamer.state.keeper import SUBSCRIBER, StateKeeper
from streamer.state.lookups import StateLookups
from tests.unit.state.test_keeper import World, world
from tests.unit.state.test_merging import BEFORE, LATER, SOON, event, row

__all__ = ["world"]
FIELDS = ("Name", "phone", "Fax")
BEHIND = r"the states of Account are 1 events behind the log: .* streamer_state_lag_events"
LOADING = "the first snapshot of Account has not ended, so some records have no state yet"


async def test_fields_have_the_names_that_the_look_up_gave(world: World) -> None:
    """An empty field is null."""
    async with asking(world) as lookups:
        await world.append(event("created", Name="Acme", Phone="1"))

        assert await lookups.read("Account", ["001"], ["id", *FIELDS]) == {
            "001": {"id": "001", "Name": "Acme", "phone": "1", "Fax": None}
        }


async def test_look_up_waits_for_a_change_that_the_log_has(world: World) -> None:
    """The keeper reads the change while the look-up waits."""
    async with asking(world) as lookups:
        await world.append(event("created", Name="Acme"))
    await world.append(event("updated", SOON, commit=6, Name="Bolt"))
    asked = asyncio.create_task(lookups.read("Account", ["001"], ["Name"]))
    await world.clock.turn(1)
    assert not asked.done()

    async with running(world, lookups.keeper):
        await world.clock.turn(1)
        assert await asked == {"001": {"Name": "Bolt"}}


async def test_partition_of_another_process_counts_by_its_committed_offset(world: World) -> None:
    """The keeper of this process keeps no record of that partition."""
    async with asking(world) as lookups:
        await world.append(event("created", Name="Acme"))
        elsewhere = replace(lookups, keeper=world.keeper())
        assert await elsewhere.read("Account", ["001"], ["Name"]) == {"001": {"Name": "Acme"}}

        [partition] = await world.log.states.ends("Account")
        settled = world.log.settled[SUBSCRIBER]
        settled[partition] = replace(settled[partition], next_offset=settled[partition].next_offset - 1)
        asked = asyncio.create_task(elsewhere.read("Account", ["001"], ["Name"]))
        await world.clock.turn(25)
        with pytest.raises(RetryLater, match=BEHIND):
            await asked


async def test_look_up_does_not_wait_for_ever(world: World) -> None:
    """The message names what to look at."""
    async with asking(world) as lookups:
        await world.append(event("created", Name="Acme"))
    await world.append(event("updated", SOON, commit=6, Name="Bolt"))
    asked = asyncio.create_task(lookups.read("Account", ["001"], ["Name"]))
    await world.clock.turn(25)

    with pytest.raises(RetryLater, match=BEHIND):
        await asked


async def test_record_without_a_state_is_awaited_until_the_first_snapshot_has_ended(world: World) -> None:
    """A record that has one is found before."""
    async with asking(world) as lookups:
        await world.append(event("created", Name="Acme"))
        assert await lookups.read("Account", ["001"], ["Name"]) == {"001": {"Name": "Acme"}}
        with pytest.raises(RetryLater, match=LOADING):
            await lookups.read("Account", ["001", "002"], ["Name"])

        await world.end_first(lookups.keeper)
        assert await lookups.read("Account", ["001", "002"], ["Name"]) == {"001": {"Name": "Acme"}}


async def test_deleted_record_is_not_found(world: World) -> None:
    """As in the org."""
    async with asking(world) as lookups:
        await world.append(event("created", Name="Acme"), event("deleted", LATER, commit=7))

        assert await lookups.read("Account", ["001"], ["Name"]) == {}


async def test_field_that_kafka_can_not_hold_is_refused(world: World) -> None:
    """It is not null: the org has it. The record's other fields are found."""
    async with asking(world) as lookups:
        await world.append(row(BEFORE, Name="Acme"))
        [state] = world.log.states.written
        world.log.states.replace([replace(state, omitted=("Body",))])

        found = await lookups.read("Account", ["001"], ["Name", "body"])
        assert await lookups.read("Account", ["001"], ["Name"]) == {"001": {"Name": "Acme"}}
    refused = found["001"]
    assert isinstance(refused, RecordsRefused)
    assert (refused.code, refused.field) == ("TOO_LARGE", "body")
    assert "look the field up in the org" in str(refused)


async def test_object_that_this_process_does_not_keep(world: World) -> None:
    """The configuration was loaded again with an object more, which needs a restart."""
    async with asking(world) as lookups:
        with pytest.raises(RetryLater, match=r"keeps no states of Contact: restart it"):
            await lookups.read("Contact", ["003"], ["Name"])


async def test_look_ups_cost_no_requests(world: World) -> None:
    """So the org's limit does not concern them."""
    async with asking(world) as lookups:
        assert lookups.requests_left is None


@asynccontextmanager
async def asking(world: World) -> AsyncIterator[StateLookups]:
    """Run a keeper, and look its states up."""
    lookups = StateLookups(log=world.log, keeper=world.keeper(), clock=world.clock)
    async with running(world, lookups.keeper):
        yield lookups


@asynccontextmanager
async def running(world: World, keeper: StateKeeper) -> AsyncIterator[None]:
    """Run a keeper."""
    task = asyncio.create_task(keeper.run())
    await world.clock.turn(0.1)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
