"""What a thread finds in portions, given out on the loop one by one."""

import asyncio
from collections.abc import AsyncGenerator, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_Answer = TypeVar("_Answer")
_Found = TypeVar("_Found")


async def iterate_in_thread(
    portions: Generator[Sequence[_Found], None, None], *, thread: str
) -> AsyncGenerator[_Found, None]:
    """Yield what is in `portions`, which blocks and so runs in a thread of its own, named `thread`.

    The next portion is asked for when the former one has been taken.
    """
    executor = ThreadPoolExecutor(1, thread)
    try:
        while (
            some := await asyncio.get_running_loop().run_in_executor(executor, next, portions, None)
        ) is not None:
            for each in some:
                yield each
    finally:
        # In its thread, once what it does there has ended: whoever stops asking does not wait.
        executor.submit(portions.close)
        executor.shutdown(wait=False)


def conclude(done: asyncio.Future[_Answer], outcome: _Answer | Exception) -> None:
    """Say what came of something, in the loop, unless nobody waits any more."""
    if done.done():
        return
    if isinstance(outcome, Exception):
        done.set_exception(outcome)
    else:
        done.set_result(outcome)
