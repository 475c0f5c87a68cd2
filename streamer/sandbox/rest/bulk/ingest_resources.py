"""REST resources of ingest jobs (Bulk API 2.0 guide, ingest).

The guide states the statuses, and the columns of the results. The sandbox chooses the
error codes of refusals.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from streamer.sandbox.org.refusals import Refused, not_found
from streamer.sandbox.rest.bulk.csv_format import DELIMITERS, LINE_ENDINGS, CsvFormat
from streamer.sandbox.rest.bulk.ingest_jobs import (
    INGEST_ENDED,
    IngestJob,
    IngestJobs,
    IngestOperation,
    IngestRequest,
    IngestState,
)
from streamer.sandbox.rest.bulk.job_body import job_body
from streamer.sandbox.rest.bulk.multipart import MULTIPART, is_multipart, multipart_job
from streamer.sandbox.rest.bulk.query_checks import unsupported
from streamer.sandbox.rest.call import NO_CONTENT, RestCall, SandboxResponse
from streamer.sandbox.rest.representations import chosen
from streamer.sandbox.rest.resources import Resources
from streamer.sandbox.rest_requests import client_of

_SINCE = 41.0
_RIGHTS = {
    IngestOperation.INSERT: "create",
    IngestOperation.UPDATE: "edit",
    IngestOperation.UPSERT: "edit",
    IngestOperation.DELETE: "delete",
    IngestOperation.HARD_DELETE: "delete",
}


class RestIngestJobs:
    """Serves `jobs/ingest`: the jobs, their rows, and their results."""

    def __init__(self, jobs: IngestJobs) -> None:
        self._jobs = jobs

    def add_to(self, resources: Resources) -> None:
        """Serve all of them."""
        root, one = "/jobs/ingest", "/jobs/ingest/{id}"
        resources.add(root, get=self._list, post=self._create, also_takes=MULTIPART)
        resources.add(one, get=self._describe, patch=self._change, delete=self._delete)
        resources.add(f"{one}/batches", put=self._upload)
        resources.add(f"{one}/successfulResults", get=self._successful)
        resources.add(f"{one}/failedResults", get=self._failed)
        # The guide writes this value in lower case, but clients also write it in upper case.
        for unprocessed in ("unprocessedrecords", "unprocessedRecords"):
            resources.add(f"{one}/{unprocessed}", get=self._unprocessed)

    def _create(self, call: RestCall) -> SandboxResponse:
        if float(call.version) < _SINCE:
            raise not_found()
        declared = call.headers.get("Content-Type", "")
        if not is_multipart(declared):
            return SandboxResponse(body=_job(self._jobs.create(_request(call))))
        body, content = multipart_job(declared, call.body, self._jobs.limits.multipart_characters)
        job = self._jobs.create(_request(replace(call, body=body)))
        self._jobs.upload(job, content)
        self._jobs.complete(job)
        return SandboxResponse(body=_job(job))

    def _list(self, _call: RestCall) -> SandboxResponse:
        records = [{**_job(job), "jobType": "V2Ingest"} for job in self._jobs.all()]
        return SandboxResponse(body={"done": True, "records": records, "nextRecordsUrl": None})

    def _describe(self, call: RestCall) -> SandboxResponse:
        job = self._jobs.get(call["id"])
        more = {
            "jobType": "V2Ingest",
            "retries": 0,
            "totalProcessingTime": job.ran_ms,
            "apiActiveProcessingTime": job.ran_ms,
            "apexProcessingTime": 0,
            "numberRecordsProcessed": len(job.saved),
            "numberRecordsFailed": sum(1 for _ in job.failed),
        }
        told = {} if job.error is None else {"errorMessage": job.error}
        return SandboxResponse(body={**_job(job), **more, **told})

    def _change(self, call: RestCall) -> SandboxResponse:
        job = self._own(call)
        match call.json_object().get("state"):
            case IngestState.UPLOAD_COMPLETE:
                self._jobs.complete(job)
            case IngestState.ABORTED:
                self._jobs.abort(job)
            case _:
                raise Refused("INVALIDJOBSTATE", "A job can be set to UploadComplete or Aborted")
        return SandboxResponse(body=_job(job))

    def _delete(self, call: RestCall) -> SandboxResponse:
        self._jobs.delete(self._own(call))
        return NO_CONTENT

    def _upload(self, call: RestCall) -> SandboxResponse:
        declared = call.headers.get("Content-Type", "").partition(";")[0].strip()
        if declared != "text/csv":
            message = f"MediaType of '{declared}' is not supported by this resource"
            raise Refused("UNSUPPORTED_MEDIA_TYPE", message, status=415)
        self._jobs.upload(self._own(call), call.body)
        return SandboxResponse(status=201)

    def _successful(self, call: RestCall) -> SandboxResponse:
        job = self._finished(call)
        rows = ([each.record_id, each.created, *each.values] for each in job.succeeded)
        return _csv(job, ("sf__Id", "sf__Created", *job.columns), rows)

    def _failed(self, call: RestCall) -> SandboxResponse:
        job = self._finished(call)
        rows = ([each.record_id, each.error, *each.values] for each in job.failed)
        return _csv(job, ("sf__Id", "sf__Error", *job.columns), rows)

    def _unprocessed(self, call: RestCall) -> SandboxResponse:
        job = self._finished(call)
        if job.content is not None:
            columns, rows = job.request.format.read(job.content)
            return _csv(job, columns, rows)
        return _csv(job, job.columns, job.rows[len(job.saved) :])

    def _own(self, call: RestCall) -> IngestJob:
        job = self._jobs.get(call["id"])
        if job.request.user_id != call.session.user_id:
            raise Refused("INSUFFICIENT_ACCESS", "The job was created by another user", status=403)
        return job

    def _finished(self, call: RestCall) -> IngestJob:
        if call.is_part:
            # A composite answer can contain only JSON.
            raise not_found()
        job = self._own(call)
        if job.state not in INGEST_ENDED:
            raise unsupported(f"The job has no results in the state {job.state}")
        return job


def _request(call: RestCall) -> IngestRequest:
    body = call.json_object()
    operation = IngestOperation(chosen(body, "operation", list(IngestOperation)))
    chosen(body, "contentType", ["CSV"], "CSV")
    key = body.get("externalIdFieldName")
    entity = call.schema.entity(str(body.get("object", "")))
    call.schema.check(entity.name, _RIGHTS[operation])
    is_upsert = operation is IngestOperation.UPSERT
    if is_upsert and (not isinstance(key, str) or call.schema.identifying(entity, key) is None):
        raise Refused("INVALIDJOB", f"An upsert needs an external id field of {entity.name}")
    return IngestRequest(
        object=entity.name,
        operation=operation,
        key=key if is_upsert else None,
        format=CsvFormat(
            chosen(body, "columnDelimiter", DELIMITERS, "COMMA"),
            chosen(body, "lineEnding", LINE_ENDINGS, "LF"),
        ),
        version=call.version,
        user_id=call.session.user_id,
        client=client_of(call.headers),
        schema=call.schema,
    )


def _csv(job: IngestJob, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> SandboxResponse:
    headers = {"Content-Type": "text/csv; charset=UTF-8"}
    return SandboxResponse(chunks=job.request.format.chunks(names, rows), headers=headers)


def _job(job: IngestJob) -> dict[str, Any]:
    request = job.request
    place = f"services/data/v{request.version}/jobs/ingest/{job.id}/batches"
    return {
        **job_body(job, request.operation.value, request.object),
        **({} if request.key is None else {"externalIdFieldName": request.key}),
        **({"contentUrl": place} if job.state is IngestState.OPEN else {}),
    }
