"""What has really happened, and when."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from streamer.clock import Clock
from tests.acceptance.fire.schedule import SESSION_S, Kind

_LOOK_S = 0.05
_STARVED_S = 0.3
# A delivery that was made may wait this long to be recorded, and where brokers
# answer slowly for as many answers: a producer's first, and its first transaction's.
# This long after trouble all processes have found out what is theirs.
_UNRECORDED_S = 2.0
_ANSWERS = 15
_RECOVERY_S = 2.0 + 2 * SESSION_S

# What can keep a finished delivery from being recorded, or its answer from being heard.
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
    """One thing that happened, in epoch seconds; `kind` is `None` where the machine itself stood still."""

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
        """Note when this very process gets no time to run: others then get none either."""
        watching = asyncio.create_task(self._watch(), name="starvation")
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.wait([watching])

    async def _watch(self) -> None:
        before = self.clock.now()
        while True:
            await asyncio.sleep(_LOOK_S)
            now = self.clock.now()
            if now - before > _STARVED_S:
                self.all.append(Strike(kind=None, began=before, ended=now))
            before = now

    def could_repeat(self, first: float, again: float) -> bool:
        """Tell whether a delivery made at `first` may have been in flight when something struck."""
        unrecorded_s = _UNRECORDED_S + _ANSWERS * self.answer_s
        return any(
            strike.began - unrecorded_s <= first <= (strike.ended or again) + _RECOVERY_S
            and strike.began <= again
            for strike in self.all
            if strike.kind is None or strike.kind in _REPEATING
        )
