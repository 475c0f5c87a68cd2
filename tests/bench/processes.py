"""Modules of the bench that run as processes of their own."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_DEADLINE_S = 120.0


async def python(module: str, *arguments: str) -> asyncio.subprocess.Process:
    """Start `python -m module arguments`, with pipes for what it writes."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        # Libraries complain of what they mend themselves: it is shown if they fail.
        stderr=asyncio.subprocess.PIPE,
    )


async def output_of(process: asyncio.subprocess.Process) -> bytes:
    """Return what `process` printed once it has ended; raises `RuntimeError` with its errors if it failed."""
    answer, errors = await asyncio.wait_for(process.communicate(), _DEADLINE_S)
    if process.returncode:
        raise RuntimeError(errors.decode())
    return answer


@asynccontextmanager
async def running(module: str, *arguments: str) -> AsyncIterator[int]:
    """Run `python -m module arguments` inside the context, which is given its process id; interrupt it then.

    Raises `RuntimeError` with its errors if it ends by itself.
    """
    process = await python(module, *arguments)
    try:
        yield process.pid
    finally:
        failed = process.returncode is not None
        if not failed:
            process.send_signal(signal.SIGINT)
        _, errors = await process.communicate()
        if failed:
            raise RuntimeError(errors.decode())
