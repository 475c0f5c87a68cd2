"""Look-ups share calls, save requests, and never return a record from before a known event."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from structlog.testing import capture_logs

from streamer.dispatch.lookups.cache import FieldNames
from streamer.dispatch.lookups.records import LookupLimits, RecordLookups
from streamer.errors import CredentialsRefused, RecordsRefused, RetryLater, SalesforceUnavailable
from streamer.events import JsonObject
from tests.unit.dispatch.lookups.world import HeldRecords, World, a_change, account_id


@dataclass
class Refusing:
    """Reader of `records` that refuses the first account, and no other."""

    records: HeldRecords
    requests_left: float | None = None

    async def read(
        self, entity: str, ids: Sequence[str], fields: Sequence[str], /
    ) -> dict[str, JsonObject | RecordsRefused]:
        """Read the others."""
        refused = {each: RecordsRefused("not this one", code="") for each in ids if each == account_id(1)}
        return {**await self.records.read(entity, ids, fields), **refused}


async def test_lookups_of_one_moment_share_a_call() -> None:
    """Whichever lane and subscriber they belong to; the fields that any of them wants are read together."""
    world = World()
    one, other, again = world.look_up(account_id(1)), world.look_up(account_id(2), "Phone"), world.look_up()
    await world.clock.turn(0.005)

    assert [await one, await other, await again] == [{"Name": "No 1"}, {"Phone": None}, {"Name": "No 1"}]
    assert world.records.requests == [("Account", [account_id(1), account_id(2)], ["Name", "Phone"])]


async def test_full_call_does_not_wait() -> None:
    """The next look-up begins another one."""
    world = World(limits=LookupLimits(batch=2, collect_s=5))
    looking_up = [world.look_up(account_id(number)) for number in range(3)]
    await world.clock.turn(0)
    assert [len(ids) for _, ids, _ in world.records.requests] == [2]

    await world.clock.turn(5)
    assert [(await each or {})["Name"] for each in looking_up] == ["No 0", "No 1", "No 2"]


async def test_record_serves_further_events_for_a_while() -> None:
    """Then it is read again."""
    world = World()
    await world.found()
    await world.clock.turn(59)
    assert await world.found() == {"Name": "No 1"}
    assert len(world.records.requests) == 1

    await world.clock.turn(2)
    await world.found()
    assert len(world.records.requests) == 2
    assert world.seen.results == {"read": 2, "cached": 1}


async def test_missing_record_is_remembered_too() -> None:
    """It costs no call for each of its events."""
    world = World()
    assert await world.found(account_id(77)) is None
    assert await world.found(account_id(77)) is None
    assert len(world.records.requests) == 1


async def test_record_that_alone_is_refused_costs_no_other() -> None:
    """A service refuses one id; it is asked for again by the next event, and the rest is remembered."""
    world = World()
    world.lookups = RecordLookups(Refusing(world.records), world.clock, world.limits, world.seen)
    refused, other = world.look_up(account_id(1)), world.look_up(account_id(2))
    await world.clock.turn(0.005)
    with pytest.raises(RecordsRefused, match="not this one"):
        await refused
    assert await other == {"Name": "No 2"}

    with pytest.raises(RecordsRefused, match="not this one"):
        await world.found(account_id(1))
    assert await world.found(account_id(2)) == {"Name": "No 2"}
    assert [ids for _, ids, _ in world.records.requests] == [[account_id(1), account_id(2)], [account_id(1)]]
    assert world.seen.results == {"refused": 2, "read": 1, "cached": 1}
    assert world.seen.calls == [(2, "answered"), (1, "refused")]


async def test_event_of_the_record_ends_what_was_read_before() -> None:
    """The same event seen by another subscriber does not: the record was read after it."""
    world = World()
    await world.found()
    world.records.records["Account"][account_id(1)] = {"Name": "Renamed"}
    world.lookups.changed(a_change(1))
    assert await world.found() == {"Name": "Renamed"}

    world.lookups.changed(a_change(1))
    await world.found()
    assert len(world.records.requests) == 2


async def test_answer_that_an_event_has_overtaken_is_not_used() -> None:
    """The call could have been read before the change; so could those that still wait for it."""
    world = World()
    world.records.open.clear()
    looking_up = world.look_up()
    await world.clock.turn(0.005)
    world.records.records["Account"][account_id(1)] = {"Name": "Renamed"}
    world.lookups.changed(a_change(1))
    late = world.look_up()
    world.records.open.set()
    await world.clock.turn(0.005)
    await world.clock.turn(0.005)

    assert (await looking_up, await late) == ({"Name": "Renamed"}, {"Name": "Renamed"})
    assert await world.found() == {"Name": "Renamed"}
    assert len(world.records.requests) == 2


@pytest.mark.parametrize("record_id", ["001*", "000000000000000AAA"])
async def test_event_of_many_records_ends_all_of_the_object(record_id: str) -> None:
    """An overflow, or the change of a field's type."""
    world = World()
    await world.found()
    world.lookups.changed(a_change(1, record_id))
    await world.found()
    assert len(world.records.requests) == 2

    world.lookups.changed(a_change(2, record_id, "Contact"))
    await world.found()
    assert len(world.records.requests) == 2


async def test_forbidden_field_fails_only_those_that_want_it() -> None:
    """The error names it; the fields of other subscribers are read all the same."""
    world = World()
    world.records.hidden = frozenset({"Secret__c"})
    mistaken, sound = world.look_up(account_id(1), "Secret__c"), world.look_up(account_id(1))
    await world.clock.turn(0.005)

    assert await sound == {"Name": "No 1"}
    with pytest.raises(RecordsRefused) as raised:
        await mistaken
    assert raised.value.field == "Secret__c"
    assert world.seen.calls == [(1, "refused"), (1, "answered")]


async def test_refused_field_costs_one_call_a_minute() -> None:
    """After a minute it is tried again, because somebody can have corrected the permission."""
    world = World()
    world.records.hidden = frozenset({"Secret__c"})
    for _ in range(3):
        with pytest.raises(RecordsRefused):
            await world.found(account_id(1), "Secret__c")
    assert len(world.records.requests) == 1

    world.records.hidden = frozenset()
    await world.clock.turn(60)
    assert await world.found(account_id(1), "Name", "Secret__c") == {"Name": "No 1"}


async def test_refused_field_is_found_when_salesforce_does_not_name_it() -> None:
    """By halves, so that it costs the other subscribers nothing but the time."""
    world = World()
    read = world.records.read

    async def unnamed(entity: str, ids: list[str], fields: list[str], /) -> object:
        try:
            return await read(entity, ids, fields)
        except RecordsRefused as error:
            raise RecordsRefused("no", code="INVALID_FIELD") from error

    world.records.read = unnamed  # type: ignore[method-assign, assignment] # an org that says less
    world.records.hidden = frozenset({"Secret__c"})
    mistaken, sound = world.look_up(account_id(1), "Secret__c"), world.look_up(account_id(1), "Name", "Phone")
    await world.clock.turn(0.005)

    assert await sound == {"Name": "No 1", "Phone": None}
    with pytest.raises(RecordsRefused, match="no") as raised:
        await mistaken
    assert raised.value.field == "Secret__c"


async def test_refused_object_costs_one_call_a_minute() -> None:
    """Its name is wrong, or the user must not see it; the others are read."""
    world = World()
    world.records.error = RecordsRefused("no such object", code="NOT_FOUND")
    for _ in range(2):
        with pytest.raises(RecordsRefused):
            await world.found()
    assert len(world.records.requests) == 1

    world.records.error = None
    other = world.look_up(account_id(1), sobject="Contact")
    await world.clock.turn(0.005)
    assert await other is None


@pytest.mark.parametrize(("asked_s", "waits_s"), [(None, 1.0), (30.0, 30.0)])
async def test_nothing_is_asked_for_a_while_after_a_failure(asked_s: float | None, waits_s: float) -> None:
    """The look-ups fail at once, with the time to wait; then one finds out."""
    world = World()
    world.records.error = RetryLater("busy", after_s=asked_s)
    with capture_logs() as lines:
        for _ in range(2):
            with pytest.raises(RetryLater) as raised:
                await world.found()
    assert raised.value.after_s == pytest.approx(waits_s, abs=0.1)
    assert [each["event"] for each in lines] == ["lookups.waiting"]
    assert (len(world.records.requests), world.seen.waits) == (1, True)

    world.records.error = None
    await world.clock.turn(waits_s)
    assert await world.found() == {"Name": "No 1"}
    assert not world.seen.waits


async def test_refused_login_is_told_as_such() -> None:
    """An operator must act; it is tried again after a minute."""
    world = World()
    world.records.error = CredentialsRefused("no")
    for _ in range(2):
        with pytest.raises(CredentialsRefused):
            await world.found()
    assert len(world.records.requests) == 1


async def test_lookups_leave_the_reserve_to_others() -> None:
    """One call every five minutes finds out whether there is more; the log says so."""
    world = World()
    world.records.requests_left = 0.19
    with capture_logs() as lines:
        await world.found()
        with pytest.raises(RetryLater, match="19% of the org's daily requests are left") as raised:
            await world.found(account_id(2))
    assert raised.value.after_s == pytest.approx(300, abs=1)
    assert [each["event"] for each in lines] == ["lookups.waiting"]
    # A known record costs no request.
    assert await world.found() == {"Name": "No 1"}

    world.records.requests_left = 0.2
    await world.clock.turn(300)
    assert await world.found(account_id(2)) == {"Name": "No 2"}
    assert await world.found(account_id(3)) == {"Name": "No 3"}


async def test_calls_become_smaller_when_there_is_no_answer() -> None:
    """It can have been too large, or too slow; afterwards they grow again."""
    world = World(limits=LookupLimits(batch=4))
    world.records.error = SalesforceUnavailable("too large")
    with pytest.raises(RetryLater):
        await world.found()
    world.records.error = None
    await world.clock.turn(1)
    for wanted in (2, 4):
        world.records.requests.clear()
        looking_up = [world.look_up(account_id(number)) for number in range(5 - wanted, 5)]
        await world.clock.turn(0.005)
        await asyncio.gather(*looking_up)
        assert max(len(ids) for _, ids, _ in world.records.requests) == wanted
        for number in range(5):
            world.lookups.changed(a_change(wanted * 10 + number, account_id(number)))


async def test_unexpected_error_is_a_retry() -> None:
    """Whatever the answer holds, no look-up waits for ever, and the next call goes out."""
    world = World()
    world.records.records = None  # type: ignore[assignment] # so that reading raises
    with capture_logs() as lines, pytest.raises(RetryLater, match="AttributeError"):
        await world.found()
    assert "lookups.failed" in {each["event"] for each in lines}


async def test_expected_record_is_read_before_it_is_looked_up() -> None:
    """A failure to read it shows when it is looked up."""
    world = World()
    world.lookups.expect("Account", account_id(1), FieldNames.of("Name"))
    await world.clock.turn(0.005)
    assert await world.found() == {"Name": "No 1"}
    assert world.seen.results == {"cached": 1}


async def test_call_in_flight_ends_with_its_lookups() -> None:
    """A stop gives it two seconds, because it can be renewing the token."""
    world = World()
    world.records.open.clear()
    async with world.lookups.running():
        looking_up = world.look_up()
        await world.clock.turn(0.005)
        turning = asyncio.ensure_future(world.clock.turn(2))
    await turning
    with pytest.raises(RetryLater, match="the look-up was cancelled"):
        await looking_up
