"""Tasks that a plugin starts: what they raise ends neither the event loop nor the daemon."""

import asyncio
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from traceback import extract_tb
from typing import Any

import structlog

from streamer.events import SubscriberName

_log = structlog.get_logger()

_CALLED: ContextVar[SubscriberName | None] = ContextVar("called_plugin", default=None)


@contextmanager
def calling(name: SubscriberName) -> Iterator[None]:
    """Mark the tasks that are started inside the context, and theirs, as those of the plugin of `name`."""
    token = _CALLED.set(name)
    try:
        yield
    finally:
        _CALLED.reset(token)


@contextmanager
def exits_contained(exited: Callable[[SubscriberName], None]) -> Iterator[None]:
    """Let no task of a plugin end the event loop inside the context; `exited` hears of each that tries.

    asyncio lets `SystemExit` pass through the loop, so one plugin's script
    would end all the others. Whoever awaits the task gets a `RuntimeError`.
    """
    loop = asyncio.get_running_loop()
    former = loop.get_task_factory()

    def task(
        loop: asyncio.AbstractEventLoop,
        coro: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
        /,
        **options: Any,
    ) -> "asyncio.Future[Any]":
        name = _CALLED.get()
        if name is not None and asyncio.iscoroutine(coro):
            coro = _contained(coro, name, exited)
        return former(loop, coro, **options) if former else asyncio.Task(coro, loop=loop, **options)

    loop.set_task_factory(task)
    try:
        yield
    finally:
        loop.set_task_factory(former)


async def _contained(
    coro: Coroutine[Any, Any, Any], name: SubscriberName, exited: Callable[[SubscriberName], None]
) -> Any:
    try:
        return await coro
    except SystemExit as error:
        last = extract_tb(error.__traceback__)[-1]
        _log.warning("plugin.exited", subscriber=name, at=f"{last.filename}:{last.lineno} in {last.name}")
        exited(name)
        raise RuntimeError("a task of the plugin raised SystemExit") from error
