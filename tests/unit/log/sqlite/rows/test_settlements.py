"""A settlement takes effect once, whatever the disk does."""

import asyncio
import sqlite3
from contextlib import closing
from typing import Any

import pytest
from structlog.testing import capture_logs

from streamer.errors import LogUnavailable
from streamer.events import Forwarded, Receipt, SubscriberName
from streamer.log.records import decode_receipt
from tests.contracts.follower import following
from tests.contracts.parking import KEY, ONCE, TWICE, joining, lane_of, letters, park
from tests.contracts.values import a_dead_letter, a_receipt, an_append, an_event, append_to
from tests.unit.log.sqlite.conftest import LogFile
from tests.unit.log.sqlite.faulty_disk import (
    LosesAnswers,
    LosesCommits,
    break_once,
    fill_disk,
    free_disk,
    writer_rests,
)
from tests.waiting import turned

LARGE = {"entity": "Account", "fields": {"Text": "x" * 256 * 1024}}


def receipts(log_file: LogFile) -> list[Receipt]:
    """Return the receipts in the file."""
    with closing(sqlite3.connect(log_file.settings.path)) as connection:
        return [decode_receipt(body) for (body,) in connection.execute("SELECT body FROM receipts")]


def forwarded(log_file: LogFile) -> list[str]:
    """Return the subscriber of each forwarded event in the file."""
    with closing(sqlite3.connect(log_file.settings.path)) as connection:
        rows = connection.execute("SELECT forwarded_to FROM events WHERE forwarded_to IS NOT NULL")
        return [name for (name,) in rows]


async def turned_until_done(log_file: LogFile, *tasks: "asyncio.Task[Any]") -> None:
    """Turn seconds until all of `tasks` are done."""
    await turned(log_file.clock, lambda: all(task.done() for task in tasks), step_s=1)
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("kind", [LosesAnswers, LosesCommits])
async def test_settlement_whose_commit_failed_is_recorded_once(
    log_file: LogFile, kind: type[sqlite3.Connection]
) -> None:
    """The settler finds out whether it took effect.

    A receipt or a forwarded event is never there twice, nor missing.
    """
    onward = Forwarded(to=SubscriberName("shipment"), event=an_event(1, key=KEY), at=0.0)
    async with log_file.open() as log, following(log) as follower:
        await append_to(log, an_append(an_event(1, key=KEY), an_event(2, key=KEY)))
        await follower.read_until("2")
        second = follower.entries[1]
        await break_once(log, kind)
        settling = follower.settle(lanes=[joining(second)], receipts=[a_receipt("1")], forwarded=[onward])
        await turned_until_done(log_file, asyncio.create_task(settling))

        assert receipts(log_file) == [a_receipt("1")]
        assert forwarded(log_file) == ["shipment"]
    async with log_file.open() as log, following(log) as follower:
        await follower.step()
        assert follower.lanes == lane_of(second)
        assert min(follower.through.values()) == second.offset + 1


async def test_settlements_after_one_that_failed_are_recorded_behind_it(log_file: LogFile) -> None:
    """The order of the calls holds, because an earlier setback must not overwrite a later one."""
    async with log_file.open() as log, following(log) as follower:
        await append_to(log, an_append(an_event(1, key=KEY)))
        await follower.read_until("1")
        [entry] = follower.entries
        await break_once(log, LosesCommits)
        settling = [asyncio.create_task(park(follower, entry, setback=each)) for each in (ONCE, TWICE)]
        await turned_until_done(log_file, *settling)
    async with log_file.open() as log, following(log) as follower:
        await follower.step()
        assert follower.lanes == lane_of(entry, setback=TWICE)


async def test_settlement_waits_while_the_disk_is_full_and_says_so_once(log_file: LogFile) -> None:
    """Nothing is delivered again because of it: the call just does not return yet."""
    with capture_logs() as logs:
        async with log_file.open() as log, following(log) as follower:
            await append_to(log, an_append(an_event(1, key=KEY, data=LARGE)))
            await follower.read_until("1")
            await fill_disk(log)
            settling = asyncio.create_task(park(follower, *follower.entries))
            for _ in range(3):
                await log_file.clock.turn(1)
                await writer_rests(log)
            assert not settling.done()
            await free_disk(log)
            await turned_until_done(log_file, settling)

            assert await follower.recall(*follower.entries) == follower.entries
    lines = [line for line in logs if line["event"] == "settlement.delayed"]
    assert [(line["log_level"], line["subscriber"]) for line in lines] == [("warning", "target")]
    assert "is full: free some space" in lines[0]["reason"]


async def test_settlement_that_waits_for_the_disk_ends_with_its_place(log_file: LogFile) -> None:
    """Nothing is recorded behind the back of the next feed."""
    async with log_file.open() as log:
        async with following(log) as follower:
            await append_to(log, an_append(an_event(1, key=KEY, data=LARGE)))
            await follower.read_until("1")
            await fill_disk(log)
            settling = asyncio.create_task(park(follower, *follower.entries))
            await writer_rests(log)
        await free_disk(log)
        with pytest.raises(LogUnavailable, match="the feed of subscriber target is closed"):
            await turned_until_done(log_file, settling)
        async with following(log) as other:
            assert await other.read_until("1") == ["1"]
            assert other.lanes == []


async def test_redriven_letter_is_found_by_its_id_whatever_characters_it_has(log_file: LogFile) -> None:
    """A letter whose id was escaped is removed all the same, and no other is."""
    letter = a_dead_letter("half \ud800 a pair")
    async with log_file.open() as log, following(log) as follower:
        await follower.step()
        await follower.settle(letters=[letter, a_dead_letter("other")])
        await follower.settle(redriven=[letter.id, "never there"])

        assert [each.id for each in await letters(log.controls)] == ["other"]
