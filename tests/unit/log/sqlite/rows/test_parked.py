"""How parked events are kept in a log file and had again."""

import pytest

from streamer.log.sqlite import SqliteLog
from streamer.ports import LaneChange
from tests.contracts.follower import Follower, following
from tests.contracts.parking import KEY, TWICE, joining, lane_of, leaving, park
from tests.contracts.values import an_append, an_event, append_to
from tests.unit.log.sqlite.conftest import LogFile
from tests.unit.log.sqlite.statements import traced, transactions

MEGABYTE = {"entity": "Account", "fields": {"Text": "x" * 1_000_000}}


async def read_events(log: SqliteLog, follower: Follower, count: int) -> None:
    """Append so many events and read them."""
    await append_to(log, an_append(*(an_event(n, key=KEY) for n in range(count))))
    await follower.read_until(str(count - 1))


async def test_retry_writes_no_body_again(log_file: LogFile) -> None:
    """A megabyte that fails a hundred times is written once."""
    async with log_file.open() as log, following(log) as follower:
        await append_to(log, an_append(an_event(1, data=MEGABYTE)))
        await follower.read_until("1")
        [entry] = follower.entries
        await park(follower, entry)
        statements = await traced(log._writer)
        again = LaneChange(partition=entry.partition, lane=KEY, setback=TWICE)
        await follower.settle(lanes=[again])
        await follower.settle(lanes=[again])

    assert statements
    assert not [each for each in statements if "parked_events" in each or len(each) > 10_000]


async def test_all_of_a_settlement_is_in_one_transaction(log_file: LogFile) -> None:
    """Whatever its size, it costs one commit and a few statements."""
    async with log_file.open() as log, following(log) as follower:
        await read_events(log, follower, 1_500)
        statements = await traced(log._writer)
        await park(follower, *follower.entries)

    [changing] = transactions(statements, "INSERT")
    assert "UPDATE subscribers" in changing
    assert changing.count("INSERT") == 3


async def test_recall_is_read_in_bounded_pages(log_file: LogFile) -> None:
    """In events and in bytes, so that other subscribers are read in between; none is left out."""
    log_file.settings = log_file.settings.model_copy(update={"max_bytes": 100 * 1024**2})
    async with log_file.open() as log, following(log) as follower:
        large = [an_event(f"large{n}", key=KEY, data=MEGABYTE) for n in range(9)]
        await append_to(log, an_append(*large))
        await read_events(log, follower, 1_200)
        await park(follower, *follower.entries)
        gone = follower.entries.pop(600)
        await follower.settle(lanes=[leaving(gone)])
        statements = await traced(log._reader)

        assert await follower.recall(*follower.entries, gone) == follower.entries
        assert len(statements) == 4


async def test_lanes_are_restored_in_bounded_pages_and_without_bodies(log_file: LogFile) -> None:
    """A restart with much that is parked reads an index, not the events."""
    async with log_file.open() as log, following(log) as follower:
        await read_events(log, follower, 1_000)
        lanes = [joining(entry, lane=f"lane {entry.offset}") for entry in follower.entries]
        await follower.settle(lanes=lanes)
    async with log_file.open() as log:
        statements = await traced(log._reader)
        async with following(log) as follower:
            await follower.step()

    assert {lane.lane for lane in follower.lanes} == {lane.lane for lane in lanes}
    assert 5 <= len(statements) < 10
    assert not [each for each in statements if "body" in each]


@pytest.mark.parametrize("lane", ["", " ", "two\nlines", 'Ünal\'s "key"', "\x00", "1"])
async def test_lane_may_have_any_name(log_file: LogFile, lane: str) -> None:
    """Keys come from people's fields."""
    async with log_file.open() as log, following(log) as follower:
        await read_events(log, follower, 2)
        await park(follower, *follower.entries, lane=lane)
        entries = follower.entries
    async with log_file.open() as log, following(log) as follower:
        await follower.step()

        assert follower.lanes == lane_of(*entries, lane=lane)


async def test_event_that_leaves_and_joins_in_one_settlement_is_parked(log_file: LogFile) -> None:
    """Changes of one lane count one after the other, as when a dead letter is redriven at once."""
    async with log_file.open() as log, following(log) as follower:
        await read_events(log, follower, 2)
        first, second = follower.entries
        await park(follower, first)
        await follower.settle(lanes=[leaving(first, setback=None), joining(first, second, setback=TWICE)])

        assert await follower.recall(first, second) == [first, second]
    async with log_file.open() as log, following(log) as follower:
        await follower.step()
        assert follower.lanes == lane_of(first, second, setback=TWICE)
