"""Result that several checks need: found once, by the first that asks."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from streamer.clock import Clock
from streamer.doctor.check import Inapplicable
from streamer.errors import RetryLater, StreamerError

_Result = TypeVar("_Result")
# A caller learns of the end of this time before its own is over.
_SHARE = 0.9


class Once(Generic[_Result]):
    """Makes a call when the result is first needed, and gives all callers its result or its error.

    A caller that runs out of time does not end the call of the others.
    """

    def __init__(self, call: Callable[[], Awaitable[_Result]], clock: Clock, *, timeout_s: float) -> None:
        """Make `call` within the time that a check has, `timeout_s`."""
        self._call = call
        self._clock = clock
        self._within_s = timeout_s * _SHARE
        self._task: asyncio.Task[_Result] | None = None

    async def __call__(self) -> _Result:
        """Return the result, or raise the error; a `RetryLater` when there is none in time."""
        if self._task is None:
            self._task = asyncio.create_task(self._made())
        return await asyncio.shield(self._task)

    async def needed(self, what: str) -> _Result:
        """Return the result; raises `Inapplicable` when `what` failed, which a check of its own tells."""
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
                # Everyone who wanted it can be gone.
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
