"""Sampler of the event loop: names the code that blocks it, while it blocks."""

import asyncio
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from streamer.blocking import calls_of, told
from streamer.dispatch.attempt import attempts
from streamer.dispatch.workers import ATTEMPT_TASK
from streamer.observe.metrics import Metrics

_log = structlog.get_logger()

_LIMIT_S = 1.0
_LOOKS_A_LIMIT = 4
_OUTERMOST = 1
_INNERMOST = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    task: str
    calls: Sequence[str]


@dataclass(slots=True, kw_only=True)
class LoopSampler:
    """Logs and counts what blocked the event loop for longer than `limit_s` seconds.

    A thread takes one sample of the loop's stack while the loop stands still,
    so it also names code that returns in the end. It measures real time,
    whatever the clock of the daemon: a blocked loop is never turned.
    """

    metrics: Metrics
    limit_s: float = _LIMIT_S
    _beat_at: float = field(default=0.0, init=False)
    _sample: _Sample | None = field(default=None, init=False)
    _is_over: threading.Event = field(default_factory=threading.Event, init=False)

    async def run(self) -> None:
        """Watch the running loop until cancelled."""
        self._beat_at = time.monotonic()
        watching = threading.Thread(
            target=self._watch,
            args=(asyncio.get_running_loop(), threading.get_ident()),
            name="loop-sampler",
            daemon=True,
        )
        watching.start()
        try:
            while True:
                await asyncio.sleep(self.limit_s / _LOOKS_A_LIMIT)
                self._beat()
        finally:
            self._is_over.set()

    def _beat(self) -> None:
        former, self._beat_at = self._beat_at, time.monotonic()
        sample, self._sample = self._sample, None
        if sample is None:
            return
        subscriber = sample.task.removeprefix(ATTEMPT_TASK) if sample.task.startswith(ATTEMPT_TASK) else ""
        self.metrics.process.loop_blocked(subscriber)
        _log.warning(
            "loop.blocked",
            subscriber=subscriber or None,
            task=sample.task,
            for_s=round(self._beat_at - former, 1),
            at=sample.calls,
        )

    def _watch(self, loop: asyncio.AbstractEventLoop, thread: int) -> None:
        while not self._is_over.wait(self.limit_s / _LOOKS_A_LIMIT):
            if self._sample is None and time.monotonic() - self._beat_at > self.limit_s:
                self._sample = _sampled(loop, thread)


def _sampled(loop: asyncio.AbstractEventLoop, thread: int) -> _Sample:
    task = asyncio.current_task(loop)
    calls = calls_of(thread)
    ours = [number for number, call in enumerate(calls) if call.filename == attempts.__file__]
    # What a plugin does is told from its own first line on.
    shown = calls[ours[-1] + 1 :] if ours else calls
    if len(shown) > _OUTERMOST + _INNERMOST:
        shown = [*shown[:_OUTERMOST], *shown[-_INNERMOST:]]
    return _Sample(
        task="" if task is None else task.get_name(),
        calls=told(shown),
    )
