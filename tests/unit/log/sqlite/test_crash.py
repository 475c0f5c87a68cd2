"""A killed process leaves a log that continues by itself."""

import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from streamer.clock import SystemClock
from streamer.log.sqlite import SqliteLog
from tests.contracts.follower import following
from tests.contracts.parking import joining
from tests.contracts.values import CHANGES, a_dead_letter, a_receipt, an_append, an_event, append_to
from tests.unit.log.sqlite.conftest import LogFile

EVENTS = 20
RELAY = f"""
import asyncio, sys
from pathlib import Path
from streamer.clock import SystemClock
from streamer.log.sqlite import SqliteLog
from streamer.settings import SqliteLogSettings
from tests.contracts.values import an_append, an_event, append_to

async def relay(begin):
    async with SqliteLog.open(SqliteLogSettings(path=Path(sys.argv[1])), SystemClock()) as log:
        for at in range(begin, 10**9):
            await append_to(log, an_append(*(an_event(f"{{at}}:{{n}}") for n in range({EVENTS})), at=at))
            print(at, flush=True)

asyncio.run(relay(int(sys.argv[2])))
"""

# Of each three events one is parked, one has a receipt, and one becomes a dead
# letter; what the former round parked leaves its lane with a receipt.
DISPATCH = f"""
import asyncio, sys
from pathlib import Path
from streamer.clock import SystemClock
from streamer.log.sqlite import SqliteLog
from streamer.settings import SqliteLogSettings
from tests.contracts.follower import following
from tests.contracts.values import a_dead_letter, a_receipt, an_append, an_event, append_to
from tests.contracts.parking import joining, leaving

async def dispatch(begin):
    async with SqliteLog.open(SqliteLogSettings(path=Path(sys.argv[1])), SystemClock()) as log:
        async with following(log) as follower:
            await follower.step()
            before = {{lane.lane: lane.offsets for lane in follower.lanes}}
            parked = [
                entry
                for offsets in before.values()
                for entry in await follower.feed.recall(next(iter(follower.through)), offsets)
            ]
            taken = 0
            for at in range(begin, 10**9):
                await append_to(log, an_append(*(an_event(f"{{at}}:{{n}}") for n in range({EVENTS})), at=at))
                await follower.read_until(f"{{at}}:{EVENTS - 1}")
                # A process that was killed before it settled anything has left its events to us.
                new, taken = follower.entries[taken:], len(follower.entries)
                old, parked = parked, new[::3]
                await follower.settle(
                    lanes=[leaving(entry, lane=entry.event.key, setback=None) for entry in old]
                    + [joining(entry, lane=entry.event.key) for entry in parked],
                    receipts=[a_receipt(entry.event.id) for entry in [*old, *new[1::3]]],
                    letters=[a_dead_letter(entry.event.id) for entry in new[2::3]],
                )
                print(at, flush=True)

asyncio.run(dispatch(int(sys.argv[2])))
"""


def run_until_killed(script: str, log_file: LogFile, begin: int, commits: int) -> int:
    """Run a script from `begin` on and kill it after some commits; return the last that it saw."""
    command = [sys.executable, "-c", script, str(log_file.settings.path), str(begin)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for _ in range(commits):
            process.stdout.readline()
        process.kill()
        seen = [int(line) for line in process.stdout.read().splitlines() if line]
    return max(seen, default=begin + commits - 1)


@pytest.mark.parametrize("commits", [1, 7, 60])
async def test_killed_writer_leaves_events_and_checkpoint_agreeing(log_file: LogFile, commits: int) -> None:
    """Three times: every answered commit is there, whole, and nothing is there twice."""
    begin = 0
    for _ in range(3):
        seen = run_until_killed(RELAY, log_file, begin, commits)
        async with SqliteLog.open(log_file.settings, SystemClock()) as log:
            checkpoint = await log.checkpoint(CHANGES)

        assert checkpoint
        assert checkpoint.replay_id
        last = int(checkpoint.replay_id)
        assert last >= seen
        assert log_file.ids() == [f"{at}:{n}" for at in range(last + 1) for n in range(EVENTS)]
        begin = last + 1


@pytest.mark.parametrize("commits", [1, 30])
async def test_killed_dispatch_leaves_everything_in_one_place(log_file: LogFile, commits: int) -> None:
    """Twice: a settled event is parked, delivered with a receipt, or set aside: one of these, and once."""
    begin = 0
    for _ in range(2):
        seen = run_until_killed(DISPATCH, log_file, begin, commits)
        settled, parked, kept = whereabouts(log_file)
        begin = int(log_file.ids()[-1].split(":")[0]) + 1

        assert max(int(id_.split(":")[0]) for id_ in settled) >= seen
        assert sorted(kept) == sorted(settled)
        assert parked == lanes_of(log_file)


async def test_power_cut_at_any_statement_of_a_settlement_leaves_all_of_it_or_nothing(
    log_file: LogFile,
) -> None:
    """Progress, parked events, receipts and dead letters never disagree, not even for a moment."""
    copies: list[LogFile] = []
    async with log_file.open() as log, following(log) as follower:
        await append_to(log, an_append(*(an_event(n) for n in range(9))))
        await follower.read_until("8")
        parked, others = follower.entries[:3], follower.entries[3:]
        await log._writer.submit(
            lambda connection: connection.set_trace_callback(lambda _: copies.append(copied(log_file)))
        )
        await follower.settle(
            lanes=[joining(entry, lane=entry.event.key) for entry in parked],
            receipts=[a_receipt(entry.event.id) for entry in others[:3]],
            letters=[a_dead_letter(entry.event.id) for entry in others[3:]],
        )
    found = [whereabouts(each) for each in (*copies, log_file)]

    assert all(sorted(kept) == sorted(settled) for settled, _, kept in found)
    assert {len(settled) for settled, _, _ in found} == {0, 9}


def copied(log_file: LogFile) -> LogFile:
    """Return a copy of the files of an open log, as a power cut leaves them."""
    path = log_file.settings.path
    copy = path.with_name(f"copy{len(list(path.parent.iterdir()))}.db")
    for suffix in ("", "-wal"):
        copy.with_name(copy.name + suffix).write_bytes(path.with_name(path.name + suffix).read_bytes())
    return LogFile(settings=log_file.settings.model_copy(update={"path": copy}))


def whereabouts(log_file: LogFile) -> tuple[list[str], list[str], list[str]]:
    """Return the ids of the settled events, of the parked ones, and of all events in the file."""
    with closing(sqlite3.connect(log_file.settings.path)) as connection:

        def found(query: str) -> list[str]:
            return [row[0] for row in connection.execute(query).fetchall()]

        settled = found(
            "SELECT json_extract(body, '$.id') FROM events WHERE seq < (SELECT next_offset FROM subscribers)"
        )
        parked = found("SELECT json_extract(body, '$.id') FROM parked_events ORDER BY 1")
        receipts = found("SELECT json_extract(body, '$.event_id') FROM receipts")
        return settled, parked, [*parked, *receipts, *found("SELECT id FROM dead_letters")]


def lanes_of(log_file: LogFile) -> list[str]:
    """Return the names of the parked lanes, which are the ids of their only events."""
    with closing(sqlite3.connect(log_file.settings.path)) as connection:
        return [row[0] for row in connection.execute("SELECT lane FROM parked_lanes ORDER BY 1")]


async def test_settlements_that_were_answered_outlive_a_restart_without_closing(log_file: LogFile) -> None:
    """A copy of the files of a running log, as a power cut leaves them, has them."""
    async with log_file.open() as log, following(log) as follower:
        await append_to(log, an_append(an_event(1), an_event(2)))
        await follower.read_until("2")
        await follower.settle(but=["1"])
        copy = copied(log_file)
    async with copy.open() as log, following(log) as follower:
        await append_to(log, an_append(an_event(3)))

        assert await follower.read_until("3") == ["1", "3"]
