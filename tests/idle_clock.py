"""Turned clock that advances as soon as the event loop is idle."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from streamer.clock import TurnedClock

_ROUNDS = 25
_RUNNING = frozenset("RD")


async def until_idle(rounds: int = _ROUNDS) -> None:
    """Let the tasks of the loop run until none has anything to do, for at most so many `rounds`.

    Data that has come over a socket counts as work; the future result of a thread
    does not.
    """
    for _ in range(rounds):
        await asyncio.sleep(0)
        if is_idle():
            return


def is_idle() -> bool:
    """Return whether no task of the loop has anything to do at the moment."""
    # asyncio has no public way to ask whether anything is ready.
    return not asyncio.get_running_loop()._ready  # type: ignore[attr-defined] # each loop of asyncio has it


def other_threads_work() -> bool:
    """Return whether another thread of this process runs, or waits for a processor."""
    own = str(threading.get_native_id())
    for thread in Path("/proc/self/task").iterdir():
        # A thread can end meanwhile.
        with suppress(OSError):
            state = (thread / "stat").read_text(encoding="ascii").rpartition(") ")[2][0]
            if thread.name != own and state in _RUNNING:
                return True
    return False


class ThreadCalls:
    """Calls that tasks of the running loop make on threads, such as the lookup of a host.

    A thread that waits for the interpreter's lock sleeps for the kernel, so
    `other_threads_work` does not see it.
    """

    def __init__(self) -> None:
        """Begin without calls."""
        self._pending: set[asyncio.Future[Any]] = set()

    @property
    def is_pending(self) -> bool:
        """True while the loop waits for the result of a call."""
        return bool(self._pending)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """See the calls of the running loop inside the context."""
        loop = asyncio.get_running_loop()
        run_in_executor = loop.run_in_executor

        def seen(*call: Any) -> asyncio.Future[Any]:
            future = run_in_executor(*call)
            self._pending.add(future)
            future.add_done_callback(self._pending.discard)
            return future

        loop.run_in_executor = seen  # type: ignore[assignment, method-assign] # the same call, noted
        try:
            yield
        finally:
            del loop.run_in_executor


class IdleClock(TurnedClock):
    """Turned clock that waits no longer than the tasks of the loop have something to do.

    A test that turns it by days, or in thousands of steps, spends its time on
    what it tests.
    """

    async def _settle(self) -> None:
        await until_idle()
