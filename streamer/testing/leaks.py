"""Leak check: finds resources that a plugin leaves open."""

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from streamer.clock import SystemClock
from streamer.testing.trial import ContractBrokenError

# A closed connection can need some rounds of the loop until it is gone.
_ROUNDS = 50
_ROUND_S = 0.01


@asynccontextmanager
async def no_leaks() -> AsyncIterator[None]:
    """Raise `ContractBrokenError` when tasks, sessions, sockets or files outlive the context.

    Outside code must not keep references to objects created inside, because the
    garbage collection reports the unclosed objects.
    """
    before = asyncio.all_tasks()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        gc.collect()
        caught.clear()
        yield
        tasks = await _lasting(before)
        gc.collect()
    if tasks:
        names = ", ".join(sorted(task.get_name() for task in tasks))
        raise ContractBrokenError(
            f"tasks still run after closing the plugin ({names}): end these tasks in __aexit__"
        )
    for warning in caught:
        if issubclass(warning.category, ResourceWarning):
            raise ContractBrokenError(
                f"a resource is still open after closing the plugin ({warning.message}): close the "
                "resource in __aexit__"
            )


async def _lasting(before: set[asyncio.Task[object]]) -> set[asyncio.Task[object]]:
    for _ in range(_ROUNDS):
        lasting = asyncio.all_tasks() - before
        if not lasting:
            break
        await SystemClock().sleep(_ROUND_S)
    return lasting
