"""Reader of an entity's deletions, one page at a time."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from streamer.continuity.progress import ReadingProgress, RecordSelection
from streamer.continuity.reading.coverage import asked_again_in_s, coverable_in_s, end_of
from streamer.continuity.reading.step import Step
from streamer.continuity.selection import TRANSACTION_S, time_text
from streamer.events import Event
from streamer.normalise.records import SnapshotRead, snapshot_deletion
from streamer.ports import Deletions, RecordReader, Replication

# The org reports the deletions of 15 days.
_TOLD_S = 15 * 24 * 3600.0 - 3600.0
_AT_ONCE = 5_000

_Place = tuple[float, str]
"""Time of a deletion in whole milliseconds, and its record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletedRecords:
    """Reads the deletions since a part's time, oldest first, except of records that exist again.

    It asks the org as soon as one answer can cover the reading's whole time. Later
    answers cover only later times, so a deletion that the org reports late never
    lies before a published one. The progress keeps the time and the record of the
    last published deletion, so each is published once.
    """

    replication: Replication
    records: RecordReader

    async def step(
        self, part: RecordSelection, progress: ReadingProgress, read: SnapshotRead, *, most: int
    ) -> Step:
        """Return the next `most` deletions, or the time for the request; raises what the ports raise."""
        assert part.since is not None  # noqa: S101 - the part tells deletions
        until = read.read_at if progress.until is None else progress.until
        progress = replace(progress, until=until)
        if wait_s := coverable_in_s(until, read.read_at):
            return Step(progress=progress, again_in_s=wait_s)
        # The time of a deletion is also the time at which it was saved.
        start = progress.anchor or part.since - TRANSACTION_S
        told = _place_of(progress.after)
        start = max(start, told[0])
        answer = await self.replication.deleted(
            part.entity, max(start, read.read_at - _TOLD_S), end_of(until)
        )
        if answer.since > start and not progress.lacks:
            lacks = f"{part.entity}: the org tells no deletions before {time_text(answer.since)}"
            progress = replace(progress, lacks=lacks)
        is_last = answer.until >= until and not answer.has_more
        left = [each for each in await _places(answer) if each > told]
        # The stream brings later ones.
        end = end_of(until) if is_last else answer.until
        left = [each for each in left if each[0] < end]
        page = left[:most]
        events = await self._told(part.entity, page, read)
        if page:
            progress = replace(progress, after=_text_of(page[-1]))
        step = Step(progress=progress, events=events, found=len(events))
        if len(left) > len(page):
            return step
        if is_last:
            return replace(step, progress=progress.next_part())
        following = replace(progress, anchor=max(start, answer.until))
        return replace(step, progress=following, again_in_s=asked_again_in_s(answer, start))

    async def _told(self, entity: str, page: Sequence[_Place], read: SnapshotRead) -> list[Event]:
        ids = list(dict.fromkeys(record_id for _, record_id in page))
        present = await self.records.read(entity, ids, ("Id",)) if ids else {}
        return [
            snapshot_deletion(entity, record_id, read, deleted_at=at)
            for at, record_id in page
            if record_id not in present
        ]


async def _places(answer: Deletions) -> list[_Place]:
    places: list[_Place] = []
    for number, each in enumerate(answer.deleted):
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)
        places.append((round(each.deleted_at, 3), each.record_id))
    return sorted(set(places))


def _text_of(place: _Place) -> str:
    return f"{place[0]:.3f} {place[1]}"


def _place_of(after: str | None) -> _Place:
    at, _, record_id = (after or "0 ").partition(" ")
    return float(at), record_id
