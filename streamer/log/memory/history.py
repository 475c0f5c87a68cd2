"""History of the in-memory log, for operators and for processes that own no partition."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from streamer.events import Channel, Checkpoint, Event, Partition, Receipt, SubscriberName
from streamer.log.memory.feed import LogState, first_offset, forwarded_to, is_forwarded, partition_of
from streamer.log.patterns import change_type_stem
from streamer.log.search import search
from streamer.log.search_chunks import Chunk, Collector, Room, Span, epoch_s, matcher
from streamer.ports import (
    MOST_RECEIPTS,
    AppendedPage,
    EventSearch,
    FoundEvents,
    FoundReceipts,
    HistoryPage,
    HistoryStart,
    LoggedEvent,
    SubscriberPlace,
)

_PAGE_EVENTS = 500
_MOST_BEHIND = 20_000


class KeptLog(LogState, Protocol):
    """Part of the log that its history reads."""

    @property
    def checkpoints(self) -> Mapping[Channel, Checkpoint]:
        """Last checkpoint of each channel."""
        ...

    @property
    def receipts(self) -> Sequence[Receipt]:
        """All receipts."""
        ...


class MemoryHistory:
    """`EventHistory` of `log`, which uses the events' own times, because `log` stores no times of appends."""

    def __init__(self, log: KeptLog) -> None:
        self._log = log

    async def checkpoints(self) -> Sequence[Checkpoint]:
        """Return the checkpoints of all channels."""
        self._log.faults.check_up()
        return list(self._log.checkpoints.values())

    async def start(self, entity: str, at: float, /) -> HistoryStart:
        """Return the offset of the first event since `at`."""
        self._log.faults.check_up()
        partition = partition_of(change_type_stem(entity))
        kept = self._log.partitions.of(partition)
        return HistoryStart(offsets={partition: first_offset(kept, datetime.fromtimestamp(at, UTC))})

    async def changes(self, entity: str, start: HistoryStart, /) -> AsyncGenerator[HistoryPage, None]:
        """Yield the events from `start` on."""
        stem = change_type_stem(entity)
        for partition, begin in start.offsets.items():
            self._log.faults.check_up()
            kept = self._log.partitions.of(partition)
            end = len(kept)
            for place in range(begin, end, _PAGE_EVENTS):
                page = kept[place : min(place + _PAGE_EVENTS, end)]
                events = [entry.event for entry in page if entry.event.type.startswith(stem)]
                yield HistoryPage(events=events, left=end - place - len(page))

    async def find(self, asked: EventSearch, /) -> FoundEvents:
        """Return the events that a search matches."""
        self._log.faults.check_up()
        return await search(asked, _Partitions(log=self._log, asked=asked))

    async def at(self, partition: Partition, offset: int, /) -> LoggedEvent | None:
        """Return the event at `offset`."""
        await asyncio.sleep(0)
        self._log.faults.check_up()
        kept = self._log.partitions.of(partition)
        return LoggedEvent(entry=kept[offset]) if 0 <= offset < len(kept) else None

    async def receipts(
        self,
        events: Sequence[Event],
        since: float,  # noqa: ARG002 - all receipts are in memory
        /,
        *,
        most: int = MOST_RECEIPTS,
    ) -> FoundReceipts:
        """Return the receipts of events."""
        await asyncio.sleep(0)
        self._log.faults.check_up()
        ids, examined = {each.id for each in events}, self._log.receipts[:most]
        return FoundReceipts(
            receipts=[each for each in examined if each.event_id in ids],
            is_whole=len(examined) == len(self._log.receipts),
        )

    async def place(
        self, subscriber: SubscriberName, partition: Partition, offset: int, /
    ) -> SubscriberPlace:
        """Return the progress of a subscriber, and the parked lane that holds `offset`."""
        await asyncio.sleep(0)
        self._log.faults.check_up()
        lanes = self._log.parked(subscriber, partition)
        return SubscriberPlace(
            progress=self._log.settled.get(subscriber, {}).get(partition),
            lane=next((lane for lane in lanes if offset in lane.offsets), None),
        )

    async def appended(self) -> AsyncGenerator[AppendedPage, None]:
        """Yield the events that are appended from now on."""
        begin = len(self._log.partitions.entries)
        yield AppendedPage(events=[])
        while True:
            await self._log.partitions.grown(begin)
            self._log.faults.check_up()
            skipped = max(0, len(self._log.partitions.entries) - begin - _MOST_BEHIND)
            page = self._log.partitions.entries[begin + skipped : begin + skipped + _PAGE_EVENTS]
            begin += skipped + len(page)
            yield AppendedPage(events=[LoggedEvent(entry=entry) for entry in page], skipped=skipped)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Partitions:
    """`ChunkSource` of the in-memory log."""

    log: KeptLog
    asked: EventSearch

    async def spans(self) -> Mapping[Partition, Span]:
        to = self.asked.forwarded_to
        return {
            partition: (0, len(self.log.partitions.of(partition)))
            for partition in self.log.partitions
            if (partition == forwarded_to(to) if to else not is_forwarded(partition))
        }

    async def read(self, spans: Mapping[Partition, Span]) -> Mapping[Partition, Chunk]:
        return {partition: self._chunk(partition, *span) for partition, span in spans.items()}

    def _chunk(self, partition: Partition, begin: int, end: int) -> Chunk:
        asked = self.asked
        collector = Collector(
            begin=begin, end=end, room=Room(events=asked.limit), oldest_first=asked.oldest_first
        )
        matches = matcher(asked)
        for entry in self.log.partitions.of(partition)[begin:end]:
            collector.saw(epoch_s(entry.event))
            if matches(entry.event):
                collector.add(LoggedEvent(entry=entry))
            if collector.is_full:
                break
        return collector.chunk()
