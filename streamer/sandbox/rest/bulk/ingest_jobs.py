"""Ingest jobs, which write rows of CSV in transactions of 200 records."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from streamer.clock import Clock
from streamer.sandbox.access.schema_view import SchemaView
from streamer.sandbox.org.org import SandboxOrg
from streamer.sandbox.org.record_ids import normal_id
from streamer.sandbox.org.refusals import Refused, not_found
from streamer.sandbox.org.schema import Entity
from streamer.sandbox.org.transaction import Transaction
from streamer.sandbox.rest.bulk.csv_format import CsvFormat
from streamer.sandbox.rest.bulk.jobs import Spawn
from streamer.sandbox.rest.bulk.limits import BulkLimits

_PREFIX = "750"
# Salesforce saves rows in chunks of this size. The sandbox makes each chunk a transaction.
_AT_ONCE = 200
_NULL = "#N/A"
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


class IngestState(StrEnum):
    """The state of an ingest job."""

    OPEN = "Open"
    UPLOAD_COMPLETE = "UploadComplete"
    IN_PROGRESS = "InProgress"
    JOB_COMPLETE = "JobComplete"
    FAILED = "Failed"
    ABORTED = "Aborted"


INGEST_ENDED = frozenset({IngestState.JOB_COMPLETE, IngestState.FAILED, IngestState.ABORTED})


class IngestOperation(StrEnum):
    """Operation that a job applies to each row."""

    INSERT = "insert"
    UPDATE = "update"
    UPSERT = "upsert"
    DELETE = "delete"
    HARD_DELETE = "hardDelete"


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestRequest:
    """Request of a user.

    `schema` is the user's view of the org's schema, and `key` is the field of an
    upsert.
    """

    object: str
    operation: IngestOperation
    key: str | None
    format: CsvFormat
    version: str
    user_id: str
    client: str | None
    schema: SchemaView


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedRow:
    """Row of a job that was written, or that was refused with an `error`."""

    values: Sequence[str]
    record_id: str
    created: bool = False
    error: str | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class IngestJob:
    """One job; times are in epoch seconds. `content` is the uploaded CSV until the job reads it."""

    id: str
    request: IngestRequest
    created_at: float
    changed_at: float
    began_at: float | None = None
    state: IngestState = IngestState.OPEN
    content: bytes | None = None
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    saved: list[SavedRow] = field(default_factory=list)
    error: str | None = None

    @property
    def ran_ms(self) -> int:
        """Milliseconds for which the job has run, up to its latest change."""
        return 0 if self.began_at is None else round((self.changed_at - self.began_at) * 1000)

    @property
    def failed(self) -> Iterator[SavedRow]:
        """The rows that were refused."""
        return (each for each in self.saved if each.error is not None)

    @property
    def succeeded(self) -> Iterator[SavedRow]:
        """The rows that were written."""
        return (each for each in self.saved if each.error is None)

    def enter(self, state: IngestState, now: float) -> None:
        """Change the job's state."""
        self.state = state
        self.changed_at = now


@dataclass(slots=True)
class IngestJobs:
    """Creates, fills, runs, finds, aborts and deletes the ingest jobs of an org."""

    clock: Clock
    org: SandboxOrg
    limits: BulkLimits
    spawn: Spawn
    _jobs: dict[str, IngestJob] = field(default_factory=dict)

    def create(self, request: IngestRequest) -> IngestJob:
        """Create a job that is open for an upload, and return it."""
        now = self.clock.now()
        job = IngestJob(id=self.org.new_id(_PREFIX), request=request, created_at=now, changed_at=now)
        self._jobs[job.id] = job
        return job

    def all(self) -> list[IngestJob]:
        """Return the jobs in the order of their creation."""
        oldest = self.clock.now() - self.limits.kept_s
        self._jobs = {key: each for key, each in self._jobs.items() if each.created_at >= oldest}
        return list(self._jobs.values())

    def get(self, job_id: str) -> IngestJob:
        """Return a job; raises `Refused` if it no longer exists."""
        self.all()
        job = self._jobs.get(normal_id(job_id) or job_id)
        if job is None:
            raise not_found()
        return job

    def upload(self, job: IngestJob, content: bytes) -> None:
        """Accept the rows of an open job.

        Raises `Refused` for a second upload, and for a job that is not open.
        """
        if job.state is not IngestState.OPEN or job.content is not None:
            raise Refused("INVALIDJOBSTATE", f"A job in the state {job.state} accepts no upload")
        job.content = content

    def complete(self, job: IngestJob) -> None:
        """Let an open job run; raises `Refused` if the job is not open."""
        if job.state is not IngestState.OPEN:
            raise Refused("INVALIDJOBSTATE", f"The upload can't be completed in the state {job.state}")
        job.enter(IngestState.UPLOAD_COMPLETE, self.clock.now())
        self.spawn(self._run(job), "sandbox.ingest_job")

    def abort(self, job: IngestJob) -> None:
        """Abort a job, whose written rows stay; raises `Refused` for a job that has ended."""
        if job.state in INGEST_ENDED:
            raise Refused("INVALIDJOBSTATE", "Aborting already Completed Job not allowed")
        job.enter(IngestState.ABORTED, self.clock.now())

    def delete(self, job: IngestJob) -> None:
        """Delete a job with its results; raises `Refused` for a job that is open or running."""
        if job.state in {IngestState.OPEN, IngestState.IN_PROGRESS}:
            raise Refused("INVALIDJOBSTATE", f"The job can't be deleted in the state {job.state}")
        del self._jobs[job.id]

    async def _run(self, job: IngestJob) -> None:
        await self.clock.sleep(self.limits.queued_s)
        if job.state in INGEST_ENDED:
            return
        job.began_at = self.clock.now()
        job.enter(IngestState.IN_PROGRESS, job.began_at)
        try:
            job.columns, job.rows = job.request.format.read(job.content or b"")
            job.content = None
            self._check(job)
        except (Refused, ValueError) as error:
            job.error = f"InvalidBatch : {error}"
            job.enter(IngestState.FAILED, self.clock.now())
            return
        for start in range(0, len(job.rows), _AT_ONCE):
            if job.state in INGEST_ENDED:
                return
            self._save(job, job.rows[start : start + _AT_ONCE])
            # Other calls can be answered now.
            await self.clock.sleep(0)
        await self.clock.sleep(job.began_at + self.limits.running_s - self.clock.now())
        if job.state not in INGEST_ENDED:
            job.enter(IngestState.JOB_COMPLETE, self.clock.now())

    def _check(self, job: IngestJob) -> None:
        """Raise `ValueError` for a column that the object does not have, or for a missing column."""
        request = job.request
        entity = request.schema.entity(request.object)
        for name in job.columns:
            if "." not in name and request.schema.readable(entity, name) is None:
                raise ValueError(f"Field name not found : {name}")
        needed = {IngestOperation.INSERT: None, IngestOperation.UPSERT: request.key}.get(
            request.operation, "Id"
        )
        if needed is not None and needed.lower() not in {each.lower() for each in job.columns}:
            raise ValueError(f"Field name not found : {needed}")

    def _save(self, job: IngestJob, rows: Sequence[Sequence[str]]) -> None:
        request = job.request
        origin = f"com/salesforce/api/bulkapi/{request.version}"
        tagged = f"{origin};client={request.client}" if request.client else origin
        with self.org.transaction(user=request.user_id, origin=tagged, guard=request.schema) as transaction:
            saved = [_attempted(job, transaction, row) for row in rows]
        job.saved += saved
        if request.operation is IngestOperation.HARD_DELETE:
            entity = self.org.schema.entity(request.object)
            for each in saved:
                if each.error is None:
                    self.org.records.remove(entity, normal_id(each.record_id) or each.record_id)


def _attempted(job: IngestJob, transaction: Transaction, row: Sequence[str]) -> SavedRow:
    given = next((value for name, value in zip(job.columns, row, strict=False) if name.lower() == "id"), "")
    try:
        record_id, created = _saved(job, transaction, row, given)
    except Refused as refused:
        error = f"{refused.code}:{refused.message}:{','.join(refused.fields)}".rstrip() + " --"
        return SavedRow(values=row, record_id=given, error=error)
    return SavedRow(values=row, record_id=record_id, created=created)


def _saved(job: IngestJob, transaction: Transaction, row: Sequence[str], given: str) -> tuple[str, bool]:
    request = job.request
    entity = request.schema.entity(request.object)
    fields = _fields(entity, job.columns, row)
    match request.operation:
        case IngestOperation.INSERT:
            return transaction.create(entity.name, fields), True
        case IngestOperation.UPSERT:
            key = str(request.key)
            named = next((name for name in fields if name.lower() == key.lower()), None)
            if named is None or fields[named] is None:
                raise Refused("MISSING_ARGUMENT", f"{key} not specified")
            return transaction.upsert(entity.name, key, {**fields, key: fields[named]})
        case IngestOperation.UPDATE:
            others = {name: value for name, value in fields.items() if name.lower() != "id"}
            transaction.update(entity.name, given, others)
        case _:
            transaction.delete(entity.name, given)
    return given, False


def _fields(entity: Entity, columns: Sequence[str], row: Sequence[str]) -> dict[str, Any]:
    """Return the fields of a row: an empty value is left out, and `#N/A` empties a field."""
    fields: dict[str, Any] = {}
    for name, text in zip(columns, row, strict=False):
        if text == "":
            continue
        # A column such as `Account.Key__c`, or `Who:Contact.Key__c`, names a parent by an external id.
        relationship, _, key = name.partition(".")
        if key:
            fields[relationship.partition(":")[0]] = _parent(relationship, key, text)
        else:
            fields[name] = _value(entity, name, text)
    return fields


def _parent(relationship: str, key: str, text: str) -> Mapping[str, Any]:
    named = relationship.partition(":")[2]
    return {key: text} | ({"attributes": {"type": named}} if named else {})


def _value(entity: Entity, name: str, text: str) -> Any:
    if text == _NULL:
        return None
    known = entity.fields.get(entity.field_name(name) or "")
    if known is not None and known.type == "boolean":
        return _BOOLEANS.get(text.lower(), text)
    return text
