"""Steps of a reading, and the records that change or are deleted meanwhile."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from streamer.clock import CLOCKS_DIFFER_S
from streamer.continuity.progress import TRANSACTION_S, ReadingProgress, RecordSelection, time_text
from streamer.events import Event, short_id
from streamer.normalise.record_events import SnapshotRead, snapshot_deletion
from streamer.ports import Changed, Deletions, RecordReader, Replication


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a reading: its progress, the events of the records read, and the pause after it.

    The caller appends the step before events that it receives later. `waits` is the
    reason why the next step must wait; other readings can use that time.
    """

    progress: ReadingProgress
    events: Sequence[Event] = ()
    found: int = 0
    again_in_s: float = 0.0
    waits: str = ""

    def counted(self) -> tuple[ReadingProgress, int]:
        """Return the progress with the rows of this step, and how many records this step adds to PUBLISHED.

        After a lost job, the next job returns the same rows again. A step adds only
        the rows beyond the largest number that any job of this part has returned.
        """
        reached = self.progress.reached
        if reached.job is None:
            # Each deletion is published once.
            return self.progress, len(self.events)
        following = reached.with_rows(len(self.events))
        return replace(self.progress, reached=following), following.most_rows - reached.most_rows


COVERED_S = 60.0
"""Pause in seconds before another request about a span that the org does not cover yet."""


def coverable_in_s(until: float, now: float) -> float:
    """Return in how many seconds an answer can cover the time `until`; do not ask earlier."""
    return max(0.0, until + CLOCKS_DIFFER_S - now)


def end_of(until: float) -> float:
    """Return the end of the span to request, so that the answer covers all changes before `until`.

    The org's clock can be ahead of ours.
    """
    return until + CLOCKS_DIFFER_S


def asked_again_in_s(answer: Changed | Deletions, start: float) -> float:
    """Return in how many seconds to ask again after an `answer` about the time since `start`."""
    return 0.0 if answer.has_more and answer.until > start else COVERED_S


_MOST_CHANGED = 200_000


@dataclass(slots=True, kw_only=True)
class ChangedRecords:
    """Records that have changed since `job` began, by short id.

    The process that began the job learns the changes from the stream. After a
    restart, the org names the records that had changed by `until`, as soon as the
    org covers that time. Until the org has answered, or if too many records have
    changed, every record counts as changed.
    """

    job: str | None = None
    until: float = 0.0
    _ids: set[str] = field(default_factory=set)
    _since: dict[str, float] = field(default_factory=dict)
    _asked_again_at: float = 0.0

    @classmethod
    def of_restart(cls, job: str, *, begun_at: float, now: float) -> Self:
        """Return the records changed since another process began the job at `begun_at`."""
        # A later commit can have an earlier stamp.
        start = begun_at - TRANSACTION_S
        return cls(job=job, until=now, _since={"changed": start, "deleted": start})

    def add(self, ids: Iterable[str]) -> None:
        """Add records that have changed."""
        if len(self._ids) < _MOST_CHANGED:
            self._ids.update(map(short_id, ids))

    def is_due(self, now: float) -> bool:
        """Return true if the org must be asked and can answer `now`."""
        return not (self._is_complete or coverable_in_s(self.until, now)) and now >= self._asked_again_at

    async def ask(self, replication: Replication, entity: str, now: float) -> None:
        """Ask the org one question. Raises the errors of `replication`."""
        lagging = min(self._since, key=self._since.__getitem__)
        start = self._since[lagging]
        answer: Changed | Deletions
        if lagging == "changed":
            answer = changed = await replication.changed(entity, start, end_of(self.until))
            self.add(changed.ids)
        else:
            answer = deletions = await replication.deleted(entity, start, end_of(self.until))
            self.add(each.record_id for each in deletions.deleted)
        self._since[lagging] = max(start, answer.until)
        if self._since[lagging] < self.until:
            self._asked_again_at = now + asked_again_in_s(answer, start)

    @property
    def _is_complete(self) -> bool:
        return all(each >= self.until for each in self._since.values())

    def __contains__(self, record_id: str) -> bool:
        """Return true if the record has changed or may have changed."""
        return not self._is_complete or len(self._ids) >= _MOST_CHANGED or short_id(record_id) in self._ids


# The org reports deletions of the last 15 days.
_DELETIONS_TOLD_S = 15 * 24 * 3600.0 - 3600.0
_DELETIONS_AT_ONCE = 5_000
_DeletionPlace = tuple[float, str]
"""Time of a deletion, rounded to milliseconds, and its record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletedRecords:
    """Reads the deletions since a part's time, oldest first, without records that exist again.

    The first request waits until one answer can cover the reading's whole time.
    Further answers cover only later times, so a deletion that the org reports late
    is never earlier than a published deletion. The progress stores the time and
    record of the last published deletion, so each deletion is published once.
    """

    replication: Replication
    records: RecordReader

    async def step(
        self, part: RecordSelection, progress: ReadingProgress, read: SnapshotRead, *, most: int
    ) -> Step:
        """Return the next `most` deletions, or a pause before the request. Raises the errors of the ports."""
        assert part.since is not None  # noqa: S101 - a part of deletions has a time
        until = read.read_at if progress.until is None else progress.until
        progress = replace(progress, until=until)
        if wait_s := coverable_in_s(until, read.read_at):
            return Step(progress=progress, again_in_s=wait_s)
        # A deletion's time is the time of its save, before the transaction's commit.
        start = progress.reached.anchor or part.since - TRANSACTION_S
        told = _place_of(progress.reached.after)
        start = max(start, told[0])
        answer = await self.replication.deleted(
            part.entity, max(start, read.read_at - _DELETIONS_TOLD_S), end_of(until)
        )
        if answer.since > start and not progress.lacks:
            lacks = f"{part.entity}: the org no longer reports deletions before {time_text(answer.since)}"
            progress = replace(progress, lacks=lacks)
        is_last = answer.until >= until and not answer.has_more
        left = [each for each in await _deletion_places(answer) if each > told]
        # The stream brings later deletions.
        end = end_of(until) if is_last else answer.until
        left = [each for each in left if each[0] < end]
        page = left[:most]
        events = await self._told(part.entity, page, read)
        if page:
            progress = replace(progress, reached=replace(progress.reached, after=_text_of_place(page[-1])))
        step = Step(progress=progress, events=events, found=len(events))
        if len(left) > len(page):
            return step
        if is_last:
            return replace(step, progress=progress.next_part())
        following = replace(progress, reached=replace(progress.reached, anchor=max(start, answer.until)))
        return replace(step, progress=following, again_in_s=asked_again_in_s(answer, start))

    async def _told(self, entity: str, page: Sequence[_DeletionPlace], read: SnapshotRead) -> list[Event]:
        ids = list(dict.fromkeys(record_id for _, record_id in page))
        present = await self.records.read(entity, ids, ("Id",)) if ids else {}
        return [
            snapshot_deletion(entity, record_id, read, deleted_at=at)
            for at, record_id in page
            if record_id not in present
        ]


async def _deletion_places(answer: Deletions) -> list[_DeletionPlace]:
    places: list[_DeletionPlace] = []
    for number, each in enumerate(answer.deleted):
        if number % _DELETIONS_AT_ONCE == 0:
            await asyncio.sleep(0)
        places.append((round(each.deleted_at, 3), each.record_id))
    return sorted(set(places))


def _text_of_place(place: _DeletionPlace) -> str:
    return f"{place[0]:.3f} {place[1]}"


def _place_of(after: str | None) -> _DeletionPlace:
    at, _, record_id = (after or "0 ").partition(" ")
    return float(at), record_id
