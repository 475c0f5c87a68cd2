"""Events of one entity in the in-memory log."""

from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime

from streamer.events import Checkpoint
from streamer.log.memory.feed import first_offset, partition_of
from streamer.log.memory.log import MemoryLog
from streamer.log.patterns import change_type_stem
from streamer.ports import HistoryPage, HistoryStart

_PAGE_EVENTS = 500


class MemoryHistory:
    """`EventHistory` of `log`, which keeps no time of appending: the events' own count."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log

    async def checkpoints(self) -> Sequence[Checkpoint]:
        """Return the checkpoints of all channels."""
        self._log.check_up()
        return list(self._log.checkpoints.values())

    async def start(self, entity: str, at: float, /) -> HistoryStart:
        """Return the first offset of an event since `at`."""
        self._log.check_up()
        partition = partition_of(change_type_stem(entity))
        kept = self._log.partition(partition)
        return HistoryStart(offsets={partition: first_offset(kept, datetime.fromtimestamp(at, UTC))})

    async def changes(self, entity: str, start: HistoryStart, /) -> AsyncGenerator[HistoryPage, None]:
        """Yield the events from `start` on."""
        stem = change_type_stem(entity)
        for partition, begin in start.offsets.items():
            self._log.check_up()
            kept = self._log.partition(partition)
            end = len(kept)
            for place in range(begin, end, _PAGE_EVENTS):
                page = kept[place : min(place + _PAGE_EVENTS, end)]
                events = [entry.event for entry in page if entry.event.type.startswith(stem)]
                yield HistoryPage(events=events, left=end - place - len(page))
