"""Where every thread and every task stands, without what their variables hold."""

import asyncio
import sys
import threading
import traceback
from collections import defaultdict
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Any

_MAX_FRAMES = 40
_MAX_NAMES = 5
_MAX_GROUPS = 100


def stacks() -> list[str]:
    """Return a text for each different stack: who stands there, and how they came there.

    Of the running loop's tasks and of all threads, the outermost call first.
    Local variables are never shown, since they hold tokens and events.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for who, lines in [*_of_threads(), *_of_tasks()]:
        groups["".join(lines)].append(who)
    return [f"{_named(who)}:\n{stack}" for stack, who in list(groups.items())[:_MAX_GROUPS]]


def _named(who: list[str]) -> str:
    # A subscriber's many workers usually wait in one place.
    more = f" and {len(who) - _MAX_NAMES} more" if len(who) > _MAX_NAMES else ""
    return ", ".join(who[:_MAX_NAMES]) + more


def _of_threads() -> Iterator[tuple[str, list[str]]]:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():  # noqa: SLF001 - its documented name
        yield (
            f"thread {names.get(ident, ident)}",
            _formatted(traceback.walk_stack(frame), innermost_first=True),
        )


def _of_tasks() -> Iterator[tuple[str, list[str]]]:
    for task in asyncio.all_tasks():
        if task is not asyncio.current_task():
            yield f"task {task.get_name()}", _formatted(_awaited(task.get_coro()), innermost_first=False)


def _awaited(awaitable: Any) -> Iterator[tuple[FrameType, int]]:
    """Go from a task's coroutine to what it waits for, and on from there."""
    # Coroutines, generators and asynchronous generators name their parts alike
    # but for the prefix; what has no frame is where the chain ends.
    while awaitable is not None:
        kind = next((kind for kind in ("cr", "gi", "ag") if hasattr(awaitable, f"{kind}_frame")), None)
        frame = getattr(awaitable, f"{kind}_frame", None)
        if frame is None:
            return
        yield frame, frame.f_lineno
        awaitable = getattr(awaitable, "gi_yieldfrom" if kind == "gi" else f"{kind}_await", None)


def _formatted(frames: Iterable[tuple[FrameType, int]], *, innermost_first: bool) -> list[str]:
    summary = traceback.StackSummary.extract(iter(frames), capture_locals=False)
    if innermost_first:
        summary.reverse()
    # What is innermost tells most.
    return traceback.StackSummary.from_list(summary[-_MAX_FRAMES:]).format()
