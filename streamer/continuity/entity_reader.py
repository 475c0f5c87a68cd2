"""Reader of entities' records, one page at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from streamer.clock import CLOCKS_DIFFER_S, Clock
from streamer.continuity.open_readings import (
    TOO_LONG,
    can_begin_again,
    may_be_in_bulk,
    pause_after_loss_s,
    refusals_can_pass,
)
from streamer.continuity.progress import ReadingProgress, RecordSelection, query_of, shape_of
from streamer.continuity.steps import COVERED_S, ChangedRecords, DeletedRecords, Step
from streamer.errors import RecordsRefused, RetryLater, UnreadableEvent
from streamer.events import Channel, Event, ReplayId
from streamer.normalise.record_events import OrgRecord, SnapshotRead, snapshot_event
from streamer.normalise.record_shape import RecordShape
from streamer.ports import Describer, RecordQueries, RecordQuery, RecordReader, Replication
from streamer.quota import Governor, JobAllowance, JobCost

_log = structlog.get_logger()

PAGE_ROWS = 2_000
"""Largest number of records in one step, and in one call by ids (REST API guide, sObject Collections)."""
BULK_FROM = 10_000
"""From this number of records on, a query job is cheaper than queries over REST."""
_READY_S = 2.0
# Reading this many rows takes some milliseconds.
_ROWS_AT_ONCE = 50
# The limits are read at the same interval.
_LOW_PAUSE_S = 300.0
# A proxy's date can be wrong by any amount, and a reading waits for deletions up to the org's time.
_MOST_AHEAD_S = 86_400.0
# A step makes at most two requests.
_STEP = JobCost(requests=2)
_JOB = JobCost(requests=1, bulk_jobs=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgReaders:
    """Ports for reading the entities of one org."""

    queries: RecordQueries
    replication: Replication
    records: RecordReader
    describer: Describer


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingSizes:
    """Jobs of at least `bulk_from` records use the Bulk API; a step reads at most `page_rows` records."""

    bulk_from: int = BULK_FROM
    page_rows: int = PAGE_ROWS


@dataclass(slots=True, kw_only=True)
class EntityReader:
    """Reads the remaining records of a `ReadingProgress`, with one or two requests per step.

    A job of the Bulk API returns the records as they were when the job began. Records
    that have changed since the job began are read again before their events are made.
    The stream names the changed records; after a restart, the org names them. Until the
    org has answered, all records of a page are read again. So even a process that runs
    for less than a minute makes progress. Raises the errors of the ports, and
    `UnreadableEvent`.

    A share of the org's requests and jobs is left to other clients: instead of using
    that share, a step raises `RetryLater`. The `allowance` and the last answer show how
    many requests and jobs are left.
    """

    channel: Channel
    org: OrgReaders
    entities: Callable[[], Awaitable[Sequence[str]]]
    clock: Clock
    allowance: JobAllowance = field(default_factory=JobAllowance)
    sizes: ReadingSizes = field(default_factory=ReadingSizes)
    _changed: ChangedRecords = field(default_factory=ChangedRecords, init=False)
    _shape: tuple[RecordSelection, RecordShape] | None = field(default=None, init=False)

    def taken(self, events: Sequence[Event]) -> None:
        """Take note of changes that are in the log; the events of a later step follow these changes."""
        if self._changed.job is not None:
            self._changed.add(event.data["record_id"] for event in events if "record_id" in event.data)

    def forget_changes(self) -> None:
        """Forget the changes noted by `taken`, because `taken` was not called for a while."""
        self._changed = ChangedRecords()

    async def step(self, snapshot: str, progress: ReadingProgress, position: ReplayId) -> Step:
        """Return the next step of the reading with the name `snapshot`."""
        reached = progress.reached
        if not (reached.has_rows and reached.job):
            # No check before a job is ended: ending a job frees a part of the org's allowance.
            self._ask(_STEP)
        if progress.parts is None:
            parts = tuple(RecordSelection(entity=each, since=progress.since) for each in await self._named())
            return Step(progress=replace(progress, parts=parts))
        part = progress.part
        assert part is not None  # noqa: S101 - a reading without a part has ended
        read = self._read(snapshot, progress, position)
        if part.is_deletions:
            deleted = DeletedRecords(replication=self.org.replication, records=self.org.records)
            with refusals_can_pass():
                return await deleted.step(part, progress, read, most=self.sizes.page_rows)
        if reached.has_rows and reached.job is not None:
            return await self._ended(progress, reached.job)
        with refusals_can_pass():
            shape = await self._shape_of(part)
            query = query_of(part, shape)
            if reached.job is None:
                return await self._begun(query, progress, snapshot)
        try:
            return await self._rows(query, shape, progress, read)
        except RecordsRefused as error:
            if not can_begin_again(progress, error):
                raise
            return self._lost(progress, reached.job, str(error))

    async def read_again(
        self, step: Step, stale: Sequence[str], snapshot: str, progress: ReadingProgress, position: ReplayId
    ) -> Step:
        """Return `step`, which follows `progress`, with the current states of the `stale` records."""
        part = progress.part
        assert part is not None  # noqa: S101 - a step with events has a part
        if part.is_deletions:
            present = await self.org.records.read(part.entity, stale, ("Id",))
            gone = [each for each in step.events if each.key not in present]
            return replace(step, events=gone, found=len(gone))
        shape = await self._shape_of(part)
        found = await self.org.records.read(part.entity, stale, shape.select)
        rows = _Rows()
        await rows.add(shape, [found[each] for each in stale if each in found])
        read = self._read(snapshot, progress, position)
        fresh = [snapshot_event(each, read) for each in rows.records.values() if not each.is_deleted]
        kept = [each for each in step.events if each.key not in set(stale)]
        lacks = step.progress.lacks or rows.lacks
        return replace(step, events=[*kept, *fresh], progress=replace(step.progress, lacks=lacks))

    async def _named(self) -> Sequence[str]:
        """Return the entities of the channel."""
        if entities := await self.entities():
            return entities
        raise RecordsRefused(
            f"the org has selected no entity for {self.channel.path}: select entities with `streamer "
            "org cdc enable`, then read their records with `streamer snapshot start`",
            code="",
        )

    def _lost(self, progress: ReadingProgress, job: str, reason: str) -> Step:
        """Begin another job, because the last job failed or Salesforce dropped it.

        A job over REST continues after the last record, with the current fields.
        """
        reached = progress.reached
        wait_s = pause_after_loss_s(reached.jobs)
        _log.warning(
            "reading.job_lost", channel=str(self.channel), job=job, reason=reason, tried_again_in_s=wait_s
        )
        self._shape = None
        if self.org.queries.is_live(job):
            following = replace(reached, jobs=reached.jobs + 1)
        else:
            following = reached.without_job(self.clock.now())
        return Step(
            progress=replace(progress, reached=following), again_in_s=wait_s, waits=reason if wait_s else ""
        )

    def _read(self, snapshot: str, progress: ReadingProgress, position: ReplayId) -> SnapshotRead:
        return SnapshotRead(
            snapshot=snapshot,
            channel=self.channel,
            position=position,
            read_at=self.clock.now(),
            job=progress.reached.jobs,
            is_partial=bool(progress.part and progress.part.fields),
        )

    async def _rows(
        self, query: RecordQuery, shape: RecordShape, progress: ReadingProgress, read: SnapshotRead
    ) -> Step:
        reached = progress.reached
        assert reached.job is not None  # noqa: S101 - a job has begun
        name = _name(read.snapshot, reached.job)
        is_ready = await self.org.queries.is_ready(reached.job)
        if self._changed.job != name:
            # The org's clock dates the changes, and the last answer has shown that clock.
            begun_at, now = reached.anchor or 0.0, self._later_time()
            self._changed = ChangedRecords.of_restart(name, begun_at=begun_at, now=now)
        if not is_ready:
            # A job that has taken long so far can take as long again.
            waited_s = self.clock.now() - (reached.anchor or self.clock.now())
            return Step(progress=progress, again_in_s=min(_READY_S + waited_s / 10, COVERED_S))
        if self._changed.is_due(read.read_at) and not self.org.queries.is_live(reached.job):
            await self._changed.ask(self.org.replication, query.entity, read.read_at)
            return Step(progress=progress)
        return await self._page(query, shape, progress, read)

    async def _begun(self, query: RecordQuery, progress: ReadingProgress, snapshot: str) -> Step:
        found = await self._count(query)
        is_large = found is None or found >= self.sizes.bulk_from
        in_bulk = await self._can_be_in_bulk(query, is_wanted=is_large and may_be_in_bulk(progress))
        anchor, asked_at = self.clock.now() - CLOCKS_DIFFER_S, self._later_time()
        # The job's name is not known yet, and changes can arrive before the answer.
        self._changed = changed = ChangedRecords(job="")
        job = await self.org.queries.begin(query, in_bulk=in_bulk)
        changed.job = _name(snapshot, job)
        _log.info("reading.begun", channel=str(self.channel), entity=query.entity, records=found, job=job)
        # The last deletions of the hole have times of the org's clock.
        until = max(progress.until or 0.0, asked_at)
        jobs = progress.reached.jobs
        reached = replace(progress.reached, job=job, anchor=anchor, jobs=jobs + 1)
        return Step(progress=replace(progress, until=until, reached=reached), found=0 if jobs else found or 0)

    async def _can_be_in_bulk(self, query: RecordQuery, *, is_wanted: bool) -> bool:
        """Return whether to use a job of the Bulk API. Raises `RetryLater` if too few jobs are left."""
        if not is_wanted and self.org.queries.fits_pages(query):
            return False
        await self.allowance.renew_limits()
        if not self._governor.has_bulk_jobs:
            return False
        self._ask(_JOB)
        self.allowance.begun_jobs.note(self.clock.monotonic())
        return True

    async def _count(self, query: RecordQuery) -> int | None:
        """Return the number of records to read, or `None` if the org can't count the records in time."""
        try:
            return await self.org.queries.count(query)
        except RecordsRefused as error:
            if error.code != TOO_LONG:
                raise
            return None

    async def _page(
        self, query: RecordQuery, shape: RecordShape, progress: ReadingProgress, read: SnapshotRead
    ) -> Step:
        reached = progress.reached
        assert reached.job is not None  # noqa: S101 - a page has a job
        page = await self.org.queries.page(query, reached.job, reached.after, most=self.sizes.page_rows)
        rows = _Rows()
        await rows.add(shape, page.rows)
        is_live = self.org.queries.is_live(reached.job)
        if stale := [each for each in rows.records if not is_live and each in self._changed]:
            fresh = await self.org.records.read(query.entity, stale, query.fields)
            for each in stale:
                del rows.records[each]
            await rows.add(shape, [fresh[each] for each in stale if each in fresh])
        made = replace(read, read_at=page.read_at)
        events = [snapshot_event(each, made) for each in rows.records.values() if not each.is_deleted]
        done = replace(
            progress,
            reached=replace(reached, after=page.following, has_rows=page.following is None),
            lacks=progress.lacks or rows.lacks,
        )
        return Step(progress=done, events=events)

    async def _ended(self, progress: ReadingProgress, job: str) -> Step:
        """End the job, because its last page is in the log."""
        await self.org.queries.end(job)
        self._changed = ChangedRecords()
        return Step(progress=progress.next_part())

    def _later_time(self) -> float:
        """Return the current time by the org's clock or by ours, whichever is later."""
        ahead_s = self.org.queries.ahead_s
        return self.clock.now() + (ahead_s if 0.0 < ahead_s < _MOST_AHEAD_S else 0.0)

    @property
    def _governor(self) -> Governor:
        return self.allowance.governor(lambda: self.org.queries.requests_left)

    def _ask(self, cost: JobCost) -> None:
        if reason := self._governor.reason_to_wait(cost):
            raise RetryLater(reason, after_s=_LOW_PAUSE_S)

    async def _shape_of(self, part: RecordSelection) -> RecordShape:
        if self._shape is None or self._shape[0] != part:
            self._shape = part, await shape_of(part, self.org.describer)
        return self._shape[1]


@dataclass(slots=True)
class _Rows:
    """Records from a page's rows, by id; `lacks` says why some records can't be read."""

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
                self.lacks = self.lacks or f"at least one record can't be read: {error}"
            else:
                self.records[record.id] = record


def _name(snapshot: str, job: str) -> str:
    # All jobs over REST have the same name.
    return f"{snapshot} {job}"
