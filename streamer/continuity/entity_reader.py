"""Reader of the records of entities, a page at a time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from streamer.clock import CLOCKS_DIFFER_S, Clock
from streamer.continuity.progress import Part, Progress
from streamer.continuity.selection import TRANSACTION_S, query_of, shape_of, time_text
from streamer.errors import RecordsRefused, RetryLater, UnreadableEvent
from streamer.events import Channel, Event, ReplayId, short_id
from streamer.normalise.records import OrgRecord, RecordShape, SnapshotRead, snapshot_deletion, snapshot_event
from streamer.ports import Deletion, Describer, RecordQueries, RecordQuery, RecordReader, Replication
from streamer.quota import Governor, JobCost, Reading

_log = structlog.get_logger()

PAGE_ROWS = 2_000
"""Most records of one step, which one call reads by their ids (REST API guide, sObject Collections)."""
BULK_FROM = 10_000
"""Number of records from which a query job is cheaper than queries over REST."""
_READY_S = 2.0
_COVERED_S = 60.0
# The org tells of the deletions of 15 days.
_TOLD_S = 15 * 24 * 3600.0 - 3600.0
# So many rows take some milliseconds.
_ROWS_AT_ONCE = 50
_DELETIONS_AT_ONCE = 5_000
_MOST_CHANGED = 200_000
_MOST_JOBS = 3
# The limits are read as often.
_LOW_PAUSE_S = 300.0
# A step makes one request or two.
_STEP = JobCost(requests=2)
_JOB = JobCost(requests=1, bulk_jobs=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a reading: its progress, the events of what was read, and when the next step is due."""

    progress: Progress
    events: Sequence[Event] = ()
    found: int = 0
    again_in_s: float = 0.0


@dataclass(slots=True)
class _Changed:
    """Records that the stream has told of since a job began, by their short ids.

    Those of `until` a restart are those that the org names; it has done so up to
    the times of `since`. Once there are too many, every record counts as changed.
    """

    job: str | None = None
    ids: set[str] = field(default_factory=set)
    since: dict[str, float] = field(default_factory=dict)
    until: float = 0.0

    @property
    def is_complete(self) -> bool:
        """True once all are known."""
        return all(each >= self.until for each in self.since.values())

    def add(self, ids: Iterable[str]) -> None:
        if len(self.ids) < _MOST_CHANGED:
            self.ids.update(map(short_id, ids))

    def __contains__(self, record_id: str) -> bool:
        return len(self.ids) >= _MOST_CHANGED or short_id(record_id) in self.ids


@dataclass(slots=True, kw_only=True)
class EntityReader:
    """Reads what a `Progress` says is left, one request or two at a time.

    A job can have the records as they were when it began. Those that have
    changed since are read again before their events are made: the stream tells
    which they are and, after a restart, the org does. Raises what the ports
    raise, and `UnreadableEvent`. From `bulk_from` records on, a job is one of the
    Bulk API; a step reads at most `page_rows` records.

    It leaves a share of the org's requests and jobs to others, by the latest
    `limits` and the share that the last answer told: a step that would use it
    raises `RetryLater` instead.
    """

    channel: Channel
    queries: RecordQueries
    replication: Replication
    records: RecordReader
    describer: Describer
    entities: Callable[[], Awaitable[Sequence[str]]]
    clock: Clock
    limits: Callable[[], Reading | None] = lambda: None
    bulk_from: int = BULK_FROM
    page_rows: int = PAGE_ROWS
    _changed: _Changed = field(default_factory=_Changed, init=False)
    _shape: tuple[Part, RecordShape] | None = field(default=None, init=False)

    def taken(self, events: Sequence[Event]) -> None:
        """Take note of changes that the log holds before anything that is read later."""
        if self._changed.job is not None:
            self._changed.add(event.data["record_id"] for event in events if "record_id" in event.data)

    def forget_changes(self) -> None:
        """Forget the changes that `taken` has noted: it was not called for a while."""
        self._changed = _Changed()

    async def step(self, snapshot: str, progress: Progress, position: ReplayId) -> Step:
        """Return the next step of the reading that is named `snapshot`."""
        if not (progress.has_rows and progress.job):
            # To end a job leaves the org more than before.
            self._ask(_STEP)
        if progress.parts is None:
            entities = await self.entities()
            if not entities:
                raise RecordsRefused(
                    f"the org names no entity of {self.channel.path}: select some with "
                    "`streamer org cdc enable`, then order their records with `streamer snapshot start`",
                    code="",
                )
            parts = tuple(Part(entity=each, since=progress.since) for each in entities)
            return Step(progress=replace(progress, parts=parts))
        part = progress.part
        assert part is not None  # noqa: S101 - the reading would have ended
        read = SnapshotRead(
            snapshot=snapshot, channel=self.channel, position=position, read_at=self.clock.now()
        )
        if progress.has_rows and progress.job is not None:
            return await self._ended(part, progress, progress.job)
        if progress.has_rows:
            return await self._deletions(part, progress, read)
        shape = await self._shape_of(part)
        query = query_of(part, shape)
        if progress.job is None:
            return await self._begun(query, progress, snapshot)
        try:
            return await self._rows(query, shape, progress, read)
        except RecordsRefused as error:
            if progress.jobs >= _MOST_JOBS:
                raise
            _log.warning("reading.job_lost", channel=str(self.channel), job=progress.job, reason=str(error))
            # A job can fail for reasons of Salesforce's own, and be forgotten; fields come and go.
            self._shape = None
            return Step(progress=replace(progress, job=None, after=None))

    async def _rows(
        self, query: RecordQuery, shape: RecordShape, progress: Progress, read: SnapshotRead
    ) -> Step:
        assert progress.job is not None  # noqa: S101 - it was begun
        if not await self.queries.is_ready(progress.job):
            # A job that has taken long can take as long again.
            waited_s = self.clock.now() - (progress.anchor or self.clock.now())
            return Step(progress=progress, again_in_s=min(_READY_S + waited_s / 10, _COVERED_S))
        name = _name(read.snapshot, progress.job)
        if not (self._changed.job == name and self._changed.is_complete):
            return await self._caught_up(query.entity, progress, name)
        return await self._page(query, shape, progress, read)

    async def _begun(self, query: RecordQuery, progress: Progress, snapshot: str) -> Step:
        found = await self.queries.count(query)
        in_bulk = found >= self.bulk_from and self._governor.has_bulk_jobs
        if in_bulk:
            self._ask(_JOB)
        anchor = self.clock.now() - CLOCKS_DIFFER_S
        job = await self.queries.begin(query, in_bulk=in_bulk)
        # Nothing enters the log between the job's beginning and the end of this step.
        self._changed = _Changed(job=_name(snapshot, job))
        _log.info("reading.begun", channel=str(self.channel), entity=query.entity, records=found, job=job)
        until = max(progress.until or 0.0, anchor + CLOCKS_DIFFER_S)
        begun = replace(progress, job=job, anchor=anchor, until=until, jobs=progress.jobs + 1)
        return Step(progress=begun, found=0 if progress.jobs else found)

    async def _caught_up(self, entity: str, progress: Progress, job: str) -> Step:
        """Learn from the org what the log can hold that is newer than the job: another process began it."""
        now = self.clock.now()
        anchor = progress.anchor or 0.0
        if self._changed.job != job:
            self._changed = _Changed(job=job, since={"changed": anchor, "deleted": anchor}, until=now)
        known = self._changed
        lagging = min(known.since, key=known.since.__getitem__)
        start = known.since[lagging]
        if lagging == "changed":
            changed = await self.replication.changed(entity, start, now)
            known.add(changed.ids)
            known.since[lagging] = max(start, changed.until)
        else:
            deletions = await self.replication.deleted(entity, start, now)
            known.add(each.record_id for each in deletions.deleted)
            known.since[lagging] = max(start, deletions.until)
        return Step(progress=progress, again_in_s=0.0 if known.since[lagging] > start else _COVERED_S)

    async def _page(
        self, query: RecordQuery, shape: RecordShape, progress: Progress, read: SnapshotRead
    ) -> Step:
        assert progress.job is not None  # noqa: S101 - a page has a job
        page = await self.queries.page(query, progress.job, progress.after, most=self.page_rows)
        rows = _Rows()
        await rows.add(shape, page.rows)
        if stale := [each for each in rows.records if each in self._changed]:
            fresh = await self.records.read(query.entity, stale, query.fields)
            for each in stale:
                del rows.records[each]
            await rows.add(shape, [fresh[each] for each in stale if each in fresh])
        made = replace(read, read_at=page.read_at)
        events = [snapshot_event(each, made) for each in rows.records.values() if not each.is_deleted]
        done = replace(progress, after=page.following, lacks=progress.lacks or rows.lacks)
        return Step(progress=done if page.following else replace(done, has_rows=True), events=events)

    async def _ended(self, part: Part, progress: Progress, job: str) -> Step:
        """End the job, whose last page is in the log."""
        await self.queries.end(job)
        self._changed = _Changed()
        done = replace(progress, job=None, anchor=None)
        return Step(progress=done if part.since is not None else done.next_part())

    async def _deletions(self, part: Part, progress: Progress, read: SnapshotRead) -> Step:
        """Tell the deletions since the part's time, unless the record exists again, oldest first."""
        assert part.since is not None  # noqa: S101 - the part would have ended
        # The time of a deletion is that of its save, too.
        start, lacks = progress.anchor or part.since - TRANSACTION_S, progress.lacks
        told_to = _told_to(progress.after)
        answer = await self.replication.deleted(
            part.entity, max(start, told_to, read.read_at - _TOLD_S), read.read_at
        )
        if answer.since > max(start, told_to) and not lacks:
            lacks = f"{part.entity}: the org tells no deletions before {time_text(answer.since)}"
        # The next answer begins with the same minute, and can tell of more.
        told = sorted([each async for each in _keys(answer.deleted)])
        left = [each for each in told if each[0] > (progress.after or "")]
        page = left[: self.page_rows]
        ids = [record_id for _, record_id in page]
        present = await self.records.read(part.entity, ids, ("Id",)) if ids else {}
        events = [snapshot_deletion(part.entity, each, read) for each in ids if each not in present]
        done = replace(progress, lacks=lacks)
        if len(left) > len(page):
            return Step(progress=replace(done, after=page[-1][0]), events=events)
        if answer.until >= (read.read_at if progress.until is None else progress.until):
            # The stream tells of later ones.
            return Step(progress=done.next_part(), events=events)
        again_in_s = 0.0 if answer.until > start else _COVERED_S
        following = replace(done, anchor=max(start, answer.until), after=None)
        return Step(progress=following, events=events, again_in_s=again_in_s)

    @property
    def _governor(self) -> Governor:
        return Governor(reading=self.limits, requests_left=lambda: self.queries.requests_left)

    def _ask(self, cost: JobCost) -> None:
        if reason := self._governor.reason_to_wait(cost):
            raise RetryLater(reason, after_s=_LOW_PAUSE_S)

    async def _shape_of(self, part: Part) -> RecordShape:
        if self._shape is None or self._shape[0] != part:
            self._shape = part, await shape_of(part, self.describer)
        return self._shape[1]


@dataclass(slots=True)
class _Rows:
    """Records of the rows of a page, by their ids; `lacks` says which can't be read."""

    records: dict[str, OrgRecord] = field(default_factory=dict)
    lacks: str = ""

    async def add(self, shape: RecordShape, rows: Sequence[Mapping[str, Any]]) -> None:
        for number, row in enumerate(rows):
            if number % _ROWS_AT_ONCE == 0:
                await asyncio.sleep(0)
            try:
                record = shape.record(row)
            except UnreadableEvent as error:
                _log.warning("record.unreadable", entity=shape.entity, reason=str(error))
                self.lacks = self.lacks or f"not every record can be read: {error}"
            else:
                self.records[record.id] = record


async def _keys(deleted: Sequence[Deletion]) -> AsyncIterator[tuple[str, str]]:
    """Yield the place of each deletion in their order, and its record."""
    for number, each in enumerate(deleted):
        if number % _DELETIONS_AT_ONCE == 0:
            await asyncio.sleep(0)
        yield f"{each.deleted_at:.3f} {each.record_id}", each.record_id


def _told_to(after: str | None) -> float:
    return float(after.partition(" ")[0]) if after else 0.0


def _name(snapshot: str, job: str) -> str:
    # All jobs over REST have one name.
    return f"{snapshot} {job}"
