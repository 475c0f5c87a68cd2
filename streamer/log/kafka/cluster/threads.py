"""Bridges between threads and the event loop."""

import asyncio
from collections.abc import AsyncGenerator, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_Answer = TypeVar("_Answer")
_Item = TypeVar("_Item")


async def iterate_in_thread(
    batches: Generator[Sequence[_Item], None, None], *, thread: str
) -> AsyncGenerator[_Item, None]:
    """Iterate a blocking generator of `batches` from asyncio, in a thread named `thread`.

    The iterator requests the next batch when the caller has consumed the previous
    batch.
    """
    executor = ThreadPoolExecutor(1, thread)
    try:
        while (
            batch := await asyncio.get_running_loop().run_in_executor(executor, next, batches, None)
        ) is not None:
            for item in batch:
                yield item
    finally:
        # Close the generator in its thread after its present batch; the caller does not wait
        # for this.
        executor.submit(batches.close)
        executor.shutdown(wait=False)


def conclude(done: asyncio.Future[_Answer], outcome: _Answer | Exception) -> None:
    """Set the result or the error of `done`, unless it is done already; call it on the loop."""
    if done.done():
        return
    if isinstance(outcome, Exception):
        done.set_exception(outcome)
    else:
        done.set_result(outcome)
