"""Turned clock that advances as soon as the event loop is idle."""

import asyncio

from streamer.clock import TurnedClock

_ROUNDS = 25


async def until_idle(rounds: int = _ROUNDS) -> None:
    """Let the tasks of the loop run until none has anything to do, for at most so many `rounds`.

    Data that has come over a socket counts as work; the future result of a thread
    does not.
    """
    # asyncio has no public way to ask whether anything is ready.
    ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined] # each loop of asyncio has it
    for _ in range(rounds):
        await asyncio.sleep(0)
        if not ready:
            return


class IdleClock(TurnedClock):
    """Turned clock that waits no longer than the tasks of the loop have something to do.

    A test that turns it by days, or in thousands of steps, spends its time on
    what it tests.
    """

    async def _settle(self) -> None:
        await until_idle()
