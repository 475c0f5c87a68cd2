"""Sampler of the event loop: during a block of the loop, it finds the code that blocks."""

import asyncio
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from streamer.blocking import calls_of, subscriber_of, told
from streamer.dispatch.delivery import foreign_values, plugin_calls
from streamer.observe.metrics import Metrics

_log = structlog.get_logger()

# The stack below the last call in these files belongs to the plugin.
_CALLERS = frozenset({plugin_calls.__file__, foreign_values.__file__})
_LIMIT_S = 1.0
# Each look wakes two threads of an idle process: the loop and the sampler.
_LOOKS_A_LIMIT = 2
_QUIET_S = 60.0
_OUTERMOST = 1
_INNERMOST = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    task: str
    subscriber: str
    calls: Sequence[str]


@dataclass(slots=True, kw_only=True)
class _Repeats:
    """Blocks of one subscriber's plugin since the last log line about it.

    `since` is the time of that line.
    """

    since: float
    times: int = 0
    longest_s: float = 0.0

    def add(self, for_s: float) -> None:
        """Count a block of `for_s` seconds."""
        self.times += 1
        self.longest_s = max(self.longest_s, for_s)


@dataclass(slots=True, kw_only=True)
class LoopSampler:
    """Logs and counts blocks of the event loop that last longer than `limit_s` seconds.

    The first block is logged with its stack. One line per minute then counts further
    blocks, because an overloaded machine blocks the loop all the time. Blocks are
    counted separately for each subscriber's plugin and for all other code. A thread
    takes one sample of the loop's stack during a block. So the log names the blocking
    code even if this code returns before the log line is written. The thread measures
    real time and ignores the daemon's clock, because a test can't advance the clock of
    a blocked loop.
    """

    metrics: Metrics
    limit_s: float = _LIMIT_S
    quiet_s: float = _QUIET_S
    _beat_at: float = field(default=0.0, init=False)
    _sample: _Sample | None = field(default=None, init=False)
    _repeats: dict[str, _Repeats] = field(default_factory=dict, init=False)
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
        if sample is not None:
            self._was_blocked(sample, self._beat_at - former)
        self._log_repeats()

    def _was_blocked(self, sample: _Sample, for_s: float) -> None:
        subscriber = sample.subscriber
        self.metrics.process.loop_blocked(subscriber)
        if repeats := self._repeats.get(subscriber):
            repeats.add(for_s)
            return
        self._repeats[subscriber] = _Repeats(since=self._beat_at)
        _log.warning(
            "loop.blocked",
            subscriber=subscriber or None,
            task=sample.task,
            for_s=round(for_s, 1),
            at=sample.calls,
        )

    def _log_repeats(self) -> None:
        for subscriber, repeats in list(self._repeats.items()):
            if self._beat_at - repeats.since < self.quiet_s:
                continue
            if not repeats.times:
                del self._repeats[subscriber]
                continue
            self._repeats[subscriber] = _Repeats(since=self._beat_at)
            _log.warning(
                "loop.blocked_again",
                subscriber=subscriber or None,
                times=repeats.times,
                longest_s=round(repeats.longest_s, 1),
            )

    def _watch(self, loop: asyncio.AbstractEventLoop, thread: int) -> None:
        while not self._is_over.wait(self.limit_s / _LOOKS_A_LIMIT):
            if self._sample is None and time.monotonic() - self._beat_at > self.limit_s:
                self._sample = _sampled(loop, thread)


def _sampled(loop: asyncio.AbstractEventLoop, thread: int) -> _Sample:
    task = asyncio.current_task(loop)
    calls = calls_of(thread)
    ours = [number for number, call in enumerate(calls) if call.filename in _CALLERS]
    shown = calls[ours[-1] + 1 :] if ours else calls
    if len(shown) > _OUTERMOST + _INNERMOST:
        shown = [*shown[:_OUTERMOST], *shown[-_INNERMOST:]]
    return _Sample(
        task="" if task is None else task.get_name(),
        subscriber=subscriber_of(thread),
        calls=told(shown),
    )
