"""Result that several checks need; the first one that asks has it computed."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from streamer.clock import Clock
from streamer.doctor.check import Inapplicable
from streamer.errors import RetryLater, StreamerError

_Result = TypeVar("_Result")
# A caller learns that this time is up before its own time is up.
_SHARE = 0.9


class Once(Generic[_Result]):
    """Makes a call when its result is first needed, and gives the result or error to all callers.

    A caller that runs out of time does not end the call of the others.
    """

    def __init__(self, call: Callable[[], Awaitable[_Result]], clock: Clock, *, timeout_s: float) -> None:
        """Make `call` within `timeout_s`, the time that a check has."""
        self._call = call
        self._clock = clock
        self._within_s = timeout_s * _SHARE
        self._task: asyncio.Task[_Result] | None = None

    async def __call__(self) -> _Result:
        """Return the result or raise the error; raise `RetryLater` when neither comes in time."""
        if self._task is None:
            self._task = asyncio.create_task(self._made())
        return await asyncio.shield(self._task)

    async def needed(self, what: str) -> _Result:
        """Return the result; raises `Inapplicable` when `what` failed, because another check reports that."""
        try:
            return await self()
        except StreamerError as error:
            raise Inapplicable(f"needs {what}, which failed") from error

    async def end(self) -> None:
        """Cancel a call that still runs."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            if not self._task.cancelled():
                # All callers can be gone.
                self._task.exception()

    async def _made(self) -> _Result:
        try:
            async with self._clock.timeout(self._within_s):
                return await self._call()
        except TimeoutError as exc:
            raise RetryLater(
                f"there was no answer within {self._within_s:g} s: check the way to it, or give the checks "
                "more time with --timeout"
            ) from exc
