"""Stacks of all threads and tasks, without the values of variables, for support bundles."""

import asyncio
import platform
import sys
import threading
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from types import FrameType
from typing import Any

from streamer import DISTRIBUTION
from streamer.events import JsonObject
from streamer.supervision.endpoint import Exposition
from streamer.supervision.health import Health, ProbeKind

_MAX_FRAMES = 40
_MAX_NAMES = 5
_MAX_GROUPS = 100


def stacks() -> list[str]:
    """Return a text for each different stack, with its threads and tasks.

    The stacks cover all threads and the running loop's tasks, with the outermost
    call first. Local variables are never shown, because they can hold tokens and
    events.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for who, lines in [*_of_threads(), *_of_tasks()]:
        groups["".join(lines)].append(who)
    return [f"{_named(who)}:\n{stack}" for stack, who in list(groups.items())[:_MAX_GROUPS]]


def _named(who: list[str]) -> str:
    # A subscriber's many workers usually wait at the same line.
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
    """Yield the frames of a coroutine and of the awaitables that it awaits, the outermost first."""
    # Coroutines, generators and asynchronous generators name these attributes with
    # different prefixes. The chain ends at an object without a frame.
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
    # The innermost calls say most.
    return traceback.StackSummary.from_list(summary[-_MAX_FRAMES:]).format()


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostics:
    """Reports the process's own state, without waiting for other systems."""

    health: Health
    exposition: Exposition
    log_lines: Callable[[], Sequence[str]]

    async def report(self) -> JsonObject:
        """Return the state as JSON, without secrets or events."""
        metrics, _ = await self.exposition.page("")
        return {
            "versions": {
                "streamer": version(DISTRIBUTION),
                "python": platform.python_version(),
                "platform": platform.platform(),
            },
            "health": {str(kind): self._probes(kind) for kind in ProbeKind},
            "stacks": stacks(),
            "metrics": metrics.decode(),
            "log": list(self.log_lines()),
        }

    def _probes(self, kind: ProbeKind) -> JsonObject:
        report = self.health.report(kind)
        results = report.results.items()
        return {
            "state": str(report.state),
            "checks": {name: {"ok": each.ok, "says": each.sentence} for name, each in results},
        }
