"""What a thread finds in batches, given out on the loop one by one."""

import asyncio
from collections.abc import AsyncGenerator, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_Answer = TypeVar("_Answer")
_Item = TypeVar("_Item")


async def iterate_in_thread(
    batches: Generator[Sequence[_Item], None, None], *, thread: str
) -> AsyncGenerator[_Item, None]:
    """Yield what is in `batches`, which blocks and so runs in a thread of its own, named `thread`.

    The next portion is asked for when the former one has been taken.
    """
    executor = ThreadPoolExecutor(1, thread)
    try:
        while (
            batch := await asyncio.get_running_loop().run_in_executor(executor, next, batches, None)
        ) is not None:
            for item in batch:
                yield item
    finally:
        # In its thread, once what it does there has ended: whoever stops asking does not wait.
        executor.submit(batches.close)
        executor.shutdown(wait=False)


def conclude(done: asyncio.Future[_Answer], outcome: _Answer | Exception) -> None:
    """Resolve `done` on the loop with a result or an error, unless it is done already."""
    if done.done():
        return
    if isinstance(outcome, Exception):
        done.set_exception(outcome)
    else:
        done.set_result(outcome)
