"""Work that goes on beside the requests."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class Background:
    """Runs named tasks and ends them; a failure is raised when it closes."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> None:
        """Run `work` until it ends or this closes."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._forget)

    async def close(self) -> None:
        """Cancel what still runs; raises the first error of what failed."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    def _forget(self, task: asyncio.Task[Any]) -> None:
        # A failed task stays, so that closing tells of it.
        if task.cancelled() or task.exception() is None:
            self._tasks.discard(task)
