"""Reader of a source's batches beside other work."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from types import TracebackType
from typing import Self

from streamer.errors import SalesforceUnavailable
from streamer.events import Batch


class BatchReader:
    """Reads batches in a task of its own, one for each `ask`; enter it before, and leave it afterwards.

    So its caller can do something else until a batch has come. Leaving it closes
    the source's iterator.
    """

    def __init__(self, batches: AsyncGenerator[Batch, None]) -> None:
        # Every batch passes here, and a future for each would cost more than all the rest.
        self._batches = batches
        self._asked = asyncio.Event()
        self._turn = asyncio.Event()
        self._batch: Batch | None = None
        self._error: Exception | None = None
        self._has_come = self._is_left = False

    async def __aenter__(self) -> Self:
        """Start the task, which reads nothing before it is asked."""
        self._task = asyncio.create_task(self._run(), name="batches")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the iterator, in the task that has read from it."""
        self._is_left = True
        self._task.cancel()
        await asyncio.wait([self._task])

    @property
    def has_come(self) -> bool:
        """True once the answer to the last `ask` can be taken without waiting."""
        return self._has_come

    def ask(self) -> None:
        """Ask for the next batch, which confirms the former one: see `streamer.ports.Source`."""
        self._has_come = False
        self._turn.clear()
        self._asked.set()

    def interrupt(self) -> None:
        """Let a `turn` return although nothing has come."""
        self._turn.set()

    async def turn(self) -> None:
        """Return when a batch has come, or after an `interrupt`."""
        await self._turn.wait()
        self._turn.clear()

    async def batch(self) -> Batch | None:
        """Return the batch that was asked for, `None` after the last one; raises what the source raises."""
        while not self._has_come:
            await self.turn()
        if self._error is not None:
            raise self._error
        return self._batch

    async def _run(self) -> None:
        async with aclosing(self._batches) as batches:
            while True:
                await self._asked.wait()
                self._asked.clear()
                try:
                    self._batch = await anext(batches, None)
                except asyncio.CancelledError:
                    if not self._is_left:
                        # A part of the source was cancelled, and nobody is to wait for it.
                        self._error = SalesforceUnavailable("reading was broken off within: it begins again")
                        self._come()
                    raise
                except Exception as error:  # noqa: BLE001 - it is raised by `batch`
                    self._error = error
                self._come()

    def _come(self) -> None:
        self._has_come = True
        self._turn.set()
