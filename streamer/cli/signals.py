"""Two-stage shutdown: the first signal drains, the second signal cancels."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import structlog

_log = structlog.get_logger()


async def until_signalled(
    work: Callable[[asyncio.Event], Awaitable[None]], *, on_hangup: Callable[[], None] | None = None
) -> None:
    """Run `work` until SIGTERM or SIGINT sets its event; then `work` drains and returns.

    A second signal cancels `work`. No event is lost, but the next run repeats the
    deliveries that were in flight. SIGHUP calls `on_hangup`. If the output was a
    terminal that has closed, SIGHUP stops `work` like SIGTERM, because no one could
    stop the process from that terminal.
    """
    stopping = asyncio.Event()
    task = asyncio.ensure_future(work(stopping))
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if stopping.is_set():
            _log.warning("daemon.cancelled", reason="second signal")
            task.cancel()
        stopping.set()

    def hang_up(reload: Callable[[], None], *, had_terminal: bool) -> None:
        if had_terminal and not _has_terminal():
            stop()
        else:
            reload()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    if on_hangup is not None:
        loop.add_signal_handler(signal.SIGHUP, partial(hang_up, on_hangup, had_terminal=_has_terminal()))
    try:
        with suppress(asyncio.CancelledError):
            await task
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(number)


def _has_terminal() -> bool:
    """Return true if the log goes to an open terminal."""
    return os.isatty(sys.stderr.fileno())
