"""An unexpected error in a log file's thread reaches everyone who waits for it."""

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest

from streamer.clock import SystemClock
from streamer.log.sqlite.database.worker import Worker
from streamer.observe.process import Pulses
from tests.waiting import limited


class Bug(Exception):
    """Error that no one has thought of."""


def fails(_: object) -> None:
    """Fail."""
    raise Bug


class SlowToClose(sqlite3.Connection):
    """Connection whose close waits for `may_close`, as a checkpoint of a long write-ahead log would."""

    may_close = threading.Event()
    waited: bool | None = None

    def close(self) -> None:
        """Wait until it may close, and note whether that came in time."""
        type(self).waited = self.may_close.wait(2.0)
        super().close()


def slow_to_close(path: Path) -> sqlite3.Connection:
    """Open `path`."""
    SlowToClose.may_close.clear()
    return sqlite3.connect(path, factory=SlowToClose)


def worker_of(path: Path) -> Worker:
    """Return a worker that is slow to close."""
    return Worker(path / "log.db", slow_to_close, group_weight=1, atomic=False)


async def test_loop_turns_while_the_connection_closes(tmp_path: Path) -> None:
    """Leaving a worker waits for its thread without blocking every other task of the daemon."""
    left = asyncio.Event()

    async def leave() -> None:
        async with worker_of(tmp_path).running("log.writer", Pulses(SystemClock())):
            pass
        left.set()

    async with limited("the worker"), asyncio.TaskGroup() as group:
        group.create_task(leave())
        await asyncio.sleep(0.1)
        assert not left.is_set()
        SlowToClose.may_close.set()

    assert SlowToClose.waited


async def test_cancelled_leaving_still_closes_the_connection(tmp_path: Path) -> None:
    """The next owner of the file finds no open connection, and the cancellation is passed on."""

    async def leave() -> None:
        async with worker_of(tmp_path).running("log.writer", Pulses(SystemClock())):
            pass

    SlowToClose.waited = None
    leaving = asyncio.create_task(leave())
    await asyncio.sleep(0.1)
    leaving.cancel()
    asyncio.get_running_loop().call_later(0.1, SlowToClose.may_close.set)
    with pytest.raises(asyncio.CancelledError):
        await leaving

    assert SlowToClose.waited


async def test_bug_in_one_result_does_not_cost_the_others_theirs(tmp_path: Path) -> None:
    """They were committed together, and each caller is told."""
    worker = Worker.writing(tmp_path / "log.db", group_weight=100, pulses=Pulses(SystemClock()))
    async with limited("the results"), worker as writer:
        before = writer.submit(lambda _: 1)
        broken = writer.submit(lambda _: 2, then=fails)
        after = writer.submit(lambda _: 3)

        assert await before == 1
        with pytest.raises(Bug):
            await broken
        assert await after == 3


async def test_bug_in_the_thread_ends_every_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who come later are told at once, and the worker can be closed."""
    worker = Worker.writing(tmp_path / "log.db", group_weight=100, pulses=Pulses(SystemClock()))
    async with limited("the results"), worker as writer:
        monkeypatch.setattr(writer, "_run_group", fails)
        with pytest.raises(Bug):
            await writer.submit(lambda _: 1)
        with pytest.raises(Bug):
            await writer.submit(lambda _: 2)
