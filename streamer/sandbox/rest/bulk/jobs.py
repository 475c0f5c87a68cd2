"""Query jobs: a job waits, runs over a snapshot of the org, and keeps its rows as long as it exists."""

from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from typing import Any

from streamer.clock import Clock
from streamer.sandbox.access.schema_view import SchemaView
from streamer.sandbox.faults.armed import JOB, ArmedFaults, InjectionPoint
from streamer.sandbox.org.org import SandboxOrg
from streamer.sandbox.org.record_ids import normal_id
from streamer.sandbox.org.records import Record
from streamer.sandbox.org.refusals import Refused, not_found
from streamer.sandbox.rest.bulk.csv_format import CsvFormat
from streamer.sandbox.rest.bulk.limits import BulkLimits
from streamer.sandbox.rest.bulk.query_checks import check_clauses, check_column, unsupported
from streamer.sandbox.soql.answers import Setting
from streamer.sandbox.soql.columns import Scope
from streamer.sandbox.soql.parser import parse
from streamer.sandbox.soql.syntax import SelectQuery
from streamer.sandbox.soql.table import Cells, TableRun

_PREFIX = "750"
_DAY_S = 24 * 3600.0
_SLICE = 5_000
# Up to version 49.0, columns are sorted by name.
_COLUMNS_AS_ASKED_SINCE = 50.0

Spawn = Callable[[Coroutine[Any, Any, Any], str], None]
"""Function that runs a coroutine in the background, under a name."""


class JobState(StrEnum):
    """The state of a job."""

    UPLOAD_COMPLETE = "UploadComplete"
    IN_PROGRESS = "InProgress"
    JOB_COMPLETE = "JobComplete"
    FAILED = "Failed"
    ABORTED = "Aborted"


ENDED = frozenset({JobState.JOB_COMPLETE, JobState.FAILED, JobState.ABORTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """Request of a user; `schema` is the user's view of the org's schema."""

    query: str
    include_deleted: bool
    format: CsvFormat
    version: str
    user_id: str
    schema: SchemaView


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The rows of a job.

    The rows are the org's own record objects at the time of the snapshot, so they need
    no copy. If the query reads parents, whole rows with the parents' values are kept as
    well.
    """

    names: Sequence[str]
    held: Sequence[Any]
    cells: Callable[[Any], Cells]

    def page(self, start: int, end: int) -> Iterator[Cells]:
        """Iterate over the rows from `start` up to `end`."""
        return (self.cells(self.held[number]) for number in range(start, end))


@dataclass(slots=True, kw_only=True, eq=False)
class QueryJob:
    """One job; times are in epoch seconds."""

    id: str
    number: int
    request: JobRequest
    query: SelectQuery
    object: str
    created_at: float
    changed_at: float
    began_at: float | None = None
    state: JobState = JobState.UPLOAD_COMPLETE
    processed: int = 0
    error: str | None = None
    rows: Rows | None = None

    @property
    def ran_ms(self) -> int:
        """Milliseconds for which the job has run, up to its latest change."""
        return 0 if self.began_at is None else round((self.changed_at - self.began_at) * 1000)

    def enter(self, state: JobState, now: float) -> None:
        """Change the job's state."""
        self.state = state
        self.changed_at = now


@dataclass(slots=True)
class QueryJobs:
    """Creates, runs, finds, aborts and deletes the jobs of an org."""

    clock: Clock
    org: SandboxOrg
    faults: ArmedFaults
    limits: BulkLimits
    spawn: Spawn
    _jobs: dict[str, QueryJob] = field(default_factory=dict)
    _made: int = 0

    def create(self, request: JobRequest) -> QueryJob:
        """Create a waiting job, and return it.

        Raises `Refused` for an invalid query, and beyond the limit.
        """
        query = parse(request.query)
        check_clauses(query)
        entity = self._run_of(request, query).entity
        allowed = self.org.usage.bulk_query_jobs
        if allowed.is_used_up:
            message = f"Max bulk v2 query jobs ({allowed.most}) per 24 hrs has been reached"
            raise Refused("LIMIT_EXCEEDED", message)
        allowed.use()
        now = self.clock.now()
        self._made += 1
        job = QueryJob(
            id=self.org.new_id(_PREFIX),
            number=self._made,
            request=request,
            query=query,
            object=entity.name,
            created_at=now,
            changed_at=now,
        )
        self._jobs[job.id] = job
        self.spawn(self._run(job), "sandbox.query_job")
        return job

    def all(self) -> list[QueryJob]:
        """Return the jobs in the order of their creation."""
        oldest = self.clock.now() - self.limits.kept_s
        for job in [each for each in self._jobs.values() if each.created_at < oldest and each.state in ENDED]:
            del self._jobs[job.id]
        return list(self._jobs.values())

    def get(self, job_id: str) -> QueryJob:
        """Return a job; raises `Refused` if it no longer exists."""
        self.all()
        job = self._jobs.get(normal_id(job_id) or job_id)
        if job is None:
            raise not_found()
        return job

    def abort(self, job: QueryJob) -> None:
        """Abort a job; raises `Refused` for a job that has ended."""
        if job.state in ENDED:
            raise Refused("INVALIDJOBSTATE", "Aborting already Completed Job not allowed")
        job.enter(JobState.ABORTED, self.clock.now())

    def delete(self, job: QueryJob) -> None:
        """Delete a job and its rows; raises `Refused` for a job that has not ended."""
        if job.state not in ENDED:
            raise unsupported("Error encountered when deleting the job because the job is not terminated")
        del self._jobs[job.id]

    async def _run(self, job: QueryJob) -> None:
        await self.clock.sleep(self.limits.queued_s)
        if job.state in ENDED:
            return
        job.began_at = self.clock.now()
        job.enter(JobState.IN_PROGRESS, job.began_at)
        try:
            self._strike(job)
            rows = await self._rows(job, self._run_of(job.request, job.query))
        except Refused as refused:
            # The schema, or a right of the user, has changed since the job was created.
            job.error = f"{refused.code}: {refused.message}"
            job.enter(JobState.FAILED, self.clock.now())
            return
        await self.clock.sleep(job.began_at + self.limits.running_s - self.clock.now())
        if job.state not in ENDED:
            job.rows = rows
            job.enter(JobState.JOB_COMPLETE, self.clock.now())

    async def _rows(self, job: QueryJob, run: TableRun) -> Rows:
        # A change replaces the record object, so a list of the objects is a snapshot.
        records = iter(list(self.org.records.all(run.entity)))
        found: list[Record] = []
        while piece := list(islice(records, _SLICE)):
            found += run.matching(piece)
            job.processed = len(found)
            await self.clock.sleep(0)
        found = run.arranged(found)
        job.processed = len(found)
        names = [column.dotted for column in run.columns]
        if run.reads_parents:
            return Rows(names=names, held=[run.cells(record) for record in found], cells=tuple)
        return Rows(names=names, held=found, cells=run.cells)

    def _run_of(self, request: JobRequest, query: SelectQuery) -> TableRun:
        setting = Setting(
            scope=Scope(schema=request.schema, records=self.org.records),
            now=self.clock.now(),
            include_deleted=request.include_deleted,
        )
        run = TableRun(setting, query)
        for column in run.columns:
            check_column(run.entity, column)
        if float(request.version) < _COLUMNS_AS_ASKED_SINCE:
            run.sort_columns()
        return run

    def _strike(self, job: QueryJob) -> None:
        if fault := self.faults.strike("fail_query_job", InjectionPoint(on=JOB, path=job.object)):
            raise Refused(fault.settings["code"], fault.settings["message"])
