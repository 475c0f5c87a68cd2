"""Reports the log's dead letters, its foreign records, and its free space as metrics."""

import asyncio
import itertools
import shutil
from collections import Counter
from contextlib import aclosing
from dataclasses import dataclass, field

import structlog

from streamer.app.assembly import Log
from streamer.clock import Clock
from streamer.errors import LogUnavailable
from streamer.observe.log_metrics import LogMetrics
from streamer.ports import LetterCursor

_log = structlog.get_logger()

_EVERY_S = 5.0
# Dead letters checked per round. If there are more, a removal is noticed some rounds later.
_CHECKED_AT_ONCE = 5_000

_Kind = tuple[str, str]


@dataclass(slots=True, kw_only=True)
class LogReporter:
    """Keeps the metrics of the log up to date.

    The reporter reads the heads of all dead letters once, and afterwards only new
    heads. Each round also checks whether some of the known dead letters still exist. So
    the cost of a round does not grow with the number of dead letters, and a scrape
    reads nothing from the log.
    """

    log: Log
    metrics: LogMetrics
    clock: Clock
    _cursor: LetterCursor = field(init=False)
    _letters: dict[str, _Kind] = field(default_factory=dict, init=False)
    _counts: Counter[_Kind] = field(default_factory=Counter, init=False)

    def __post_init__(self) -> None:
        self._cursor = self.log.controls.letter_cursor()

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            try:
                await self.report()
            except LogUnavailable as error:
                _log.debug("log.not_reported", reason=str(error))
            await self.clock.sleep(_EVERY_S)

    async def report(self) -> None:
        """Report once; raises `LogUnavailable`."""
        await self._report_room()
        self.metrics.set_foreign(self.log.foreign_records)
        self.metrics.set_aborted(self.log.aborted_transactions)
        self.metrics.set_rebuilds(self.log.states.rebuilds)
        self.metrics.set_schema_failures(self.log.schema_failures)
        await self._look_for_gone()
        async with aclosing(self._cursor.heads()) as heads:
            async for head in heads:
                self._forget(head.id)
                self._letters[head.id] = kind = head.subscriber or "", head.reason
                self._counts[kind] += 1
        self.metrics.set_letters(self._counts)

    async def _look_for_gone(self) -> None:
        some = [*itertools.islice(self._letters, _CHECKED_AT_ONCE)]
        kept = await self._cursor.kept(some) if some else ()
        for id_ in some:
            if id_ in kept:
                # This dead letter moves to the end, so that the next rounds check other dead
                # letters.
                self._letters[id_] = self._letters.pop(id_)
            else:
                self._forget(id_)

    def _forget(self, id_: str) -> None:
        if (kind := self._letters.pop(id_, None)) is not None:
            self._counts[kind] -= 1

    async def _report_room(self) -> None:
        room = self.log.storage
        if room is not None:
            disk = await asyncio.to_thread(shutil.disk_usage, room.path.absolute().parent)
            self.metrics.set_room(str(room.path), used=room.used, bound=room.bound, free=disk.free)
