"""Record of the faults that really struck, with their times."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from streamer.clock import Clock
from tests.acceptance.fire.schedule import SESSION_S, Kind

_LOOK_S = 0.05
_STANDSTILL_S = 0.3
# A yardstick: CPU time that is spent now and then, and how many times as long may pass meanwhile.
_YARDSTICK_EVERY_S = 0.5
_YARDSTICK_S = 0.02
_STARVED_TIMES = 3.0
# A delivery that was made may wait this long to be recorded, and where brokers
# answer slowly for as many answers: a producer's first, and its first transaction's.
# This long after trouble all processes have found out what is theirs.
_UNRECORDED_S = 2.0
_ANSWERS = 15
_RECOVERY_S = 2.0 + 2 * SESSION_S

# Faults that can keep a finished delivery from being recorded, or its answer from arriving.
# A stop is not among them: it takes nothing with it.
_REPEATING = frozenset(
    {
        Kind.KILL,
        Kind.ZOMBIE,
        Kind.ROUSED,
        Kind.NAP,
        Kind.BROKER_FREEZE,
        Kind.BROKER_RESTART,
        Kind.BROKER_KILL,
        Kind.KAFKA_STALL,
        Kind.KAFKA_RESET,
        Kind.KAFKA_BLACK_HOLE,
        Kind.KAFKA_DEAF,
        Kind.TARGET_DOWN,
        Kind.DELIVERY_UNANSWERED,
    }
)


@dataclass(slots=True, kw_only=True)
class Strike:
    """One thing that happened, in epoch seconds; `kind` is `None` where processes got no CPU."""

    kind: Kind | None
    began: float
    ended: float | None = None


@dataclass(slots=True, kw_only=True)
class Strikes:
    """Everything that happened in a trial, in which brokers answer `answer_s` late."""

    clock: Clock
    answer_s: float = 0.0
    all: list[Strike] = field(default_factory=list)

    @contextmanager
    def noting(self, kind: Kind) -> Iterator[None]:
        """Note that `kind` happens inside the context."""
        strike = Strike(kind=kind, began=self.clock.now())
        self.all.append(strike)
        try:
            yield
        finally:
            strike.ended = self.clock.now()

    @asynccontextmanager
    async def noting_starvation(self) -> AsyncIterator[None]:
        """Note when this very process gets too little time to run: others then get no more."""
        watching = [
            asyncio.create_task(self._watch_standstill(), name="standstill"),
            asyncio.create_task(self._watch_yardstick(), name="yardstick"),
        ]
        try:
            yield
        finally:
            for task in watching:
                task.cancel()
            await asyncio.wait(watching)

    async def _watch_yardstick(self) -> None:
        """Note the times at which a fixed piece of work took many times its CPU time."""
        before = self.clock.now()
        while True:
            await asyncio.sleep(_YARDSTICK_EVERY_S)
            times = await asyncio.to_thread(slowdown)
            now = self.clock.now()
            if times > _STARVED_TIMES:
                self.all.append(Strike(kind=None, began=before, ended=now))
            before = now

    async def _watch_standstill(self) -> None:
        before = self.clock.now()
        while True:
            await asyncio.sleep(_LOOK_S)
            now = self.clock.now()
            if now - before > _STANDSTILL_S:
                self.all.append(Strike(kind=None, began=before, ended=now))
            before = now

    def could_repeat(self, first: float, again: float) -> bool:
        """Tell whether a delivery made at `first` may have been in flight when a fault struck."""
        return any(strike.kind in _REPEATING for strike in self._around(first, again))

    def was_starved(self, first: float, again: float) -> bool:
        """Tell whether a process may have lost its session around `first` because it got no CPU."""
        return any(strike.kind is None for strike in self._around(first, again))

    def _around(self, first: float, again: float) -> Iterator[Strike]:
        unrecorded_s = _UNRECORDED_S + _ANSWERS * self.answer_s
        for strike in self.all:
            ended = strike.ended or again
            if strike.began - unrecorded_s <= first <= ended + _RECOVERY_S and strike.began <= again:
                yield strike


def slowdown() -> float:
    """Return how many times its CPU time a short piece of work takes. Blocking."""
    began, worked = time.perf_counter(), time.thread_time()
    while (spent := time.thread_time() - worked) < _YARDSTICK_S:
        pass
    return (time.perf_counter() - began) / spent
