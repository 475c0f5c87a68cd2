"""A process that is killed at any moment leaves a log that goes on by itself."""

import subprocess
import sys

import pytest

from streamer.clock import SystemClock
from streamer.log.sqlite import SqliteLog
from tests.contracts.follower import following
from tests.contracts.values import CHANGES, an_append, an_event
from tests.unit.log.conftest import LogFile

EVENTS = 20
RELAY = f"""
import asyncio, sys
from pathlib import Path
from streamer.clock import SystemClock
from streamer.log.sqlite import SqliteLog
from streamer.settings import SqliteLogSettings
from tests.contracts.values import an_append, an_event

async def relay(begin):
    async with SqliteLog.open(SqliteLogSettings(path=Path(sys.argv[1])), SystemClock()) as log:
        for at in range(begin, 10**9):
            await log.append(an_append(*(an_event(f"{{at}}:{{n}}") for n in range({EVENTS})), at=at))
            print(at, flush=True)

asyncio.run(relay(int(sys.argv[2])))
"""


def relay_until_killed(log_file: LogFile, begin: int, commits: int) -> int:
    """Let a process append from `begin` on and kill it after some commits; returns the last that it saw."""
    command = [sys.executable, "-c", RELAY, str(log_file.settings.path), str(begin)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for _ in range(commits):
            process.stdout.readline()
        process.kill()
        seen = [int(line) for line in process.stdout.read().splitlines() if line]
    return max(seen, default=begin + commits - 1)


@pytest.mark.parametrize("commits", [1, 7, 60])
async def test_killed_writer_leaves_events_and_checkpoint_agreeing(log_file: LogFile, commits: int) -> None:
    """Three times: every commit that was answered is there, whole, and nothing is there twice."""
    begin = 0
    for _ in range(3):
        seen = relay_until_killed(log_file, begin, commits)
        async with SqliteLog.open(log_file.settings, SystemClock()) as log:
            checkpoint = await log.checkpoint(CHANGES)

        assert checkpoint
        assert checkpoint.replay_id
        last = int(checkpoint.replay_id)
        assert last >= seen
        assert log_file.ids() == [f"{at}:{n}" for at in range(last + 1) for n in range(EVENTS)]
        begin = last + 1


async def test_settlements_that_were_answered_outlive_a_restart_without_closing(log_file: LogFile) -> None:
    """A copy of the files of a running log, which is what a power cut leaves, has them."""
    async with log_file.open() as log, following(log) as follower:
        await log.append(an_append(an_event(1), an_event(2)))
        await follower.read_until("2")
        await follower.settle(but=["1"])
        copy = LogFile(
            settings=log_file.settings.model_copy(update={"path": log_file.settings.path.with_name("copy")})
        )
        for suffix in ("", "-wal"):
            source = log_file.settings.path.with_name(f"log.db{suffix}")
            source.with_name(f"copy{suffix}").write_bytes(source.read_bytes())
    async with copy.open() as log, following(log) as follower:
        await log.append(an_append(an_event(3)))

        assert await follower.read_until("3") == ["1", "3"]
