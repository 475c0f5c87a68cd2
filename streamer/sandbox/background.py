"""Background tasks of the sandbox, which run independently of requests."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class BackgroundTasks:
    """Runs named tasks and cancels them; a failure is raised on closing."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> None:
        """Run `work` as a task until it ends or `close` cancels it."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._forget)

    async def close(self) -> None:
        """Cancel all running tasks; raises the first error of a failed task."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    def _forget(self, task: asyncio.Task[Any]) -> None:
        # A failed task stays, so that `close` raises its error.
        if task.cancelled() or task.exception() is None:
            self._tasks.discard(task)
