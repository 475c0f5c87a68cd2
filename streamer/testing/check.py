"""Checks of a contract: coroutines that any test runner calls as plain methods."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from streamer.clock import SystemClock

_Contract = TypeVar("_Contract")

_LIMIT_S = 20.0


class ContractBrokenError(AssertionError):
    """The plugin breaks the contract with dispatch: the sentence says how, and how to correct it."""


def check(method: Callable[[_Contract], Awaitable[None]]) -> Callable[[_Contract], None]:
    """Turn a coroutine into a plain method, which runs it on a new loop, for at most 20 seconds.

    The author of a plugin then needs no plugin of pytest, and no setting of one.
    """

    def run(self: _Contract) -> None:
        with asyncio.Runner() as runner:
            runner.run(_limited(method(self)))

    # Not functools.wraps: through __wrapped__, pytest would take the method for a coroutine.
    run.__name__, run.__qualname__ = method.__name__, method.__qualname__
    run.__doc__, run.__module__ = method.__doc__, method.__module__
    return run


async def _limited(checking: Awaitable[None]) -> None:
    try:
        async with SystemClock().timeout(_LIMIT_S):
            await checking
    except TimeoutError:
        raise ContractBrokenError(f"the check did not end within {_LIMIT_S:g} s") from None
