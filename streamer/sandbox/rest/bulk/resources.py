"""REST resources of query jobs (Bulk API 2.0 guide, query).

The guide states the statuses, and the error codes for an early deletion, a late abort
and a deleted job. The sandbox chooses the other codes.
"""

import base64
import binascii
from typing import Any

from streamer.sandbox.faults.armed import RESULTS, InjectionPoint
from streamer.sandbox.org.refusals import Refused, not_found
from streamer.sandbox.rest.bulk.csv_format import DELIMITERS, LINE_ENDINGS, CsvFormat
from streamer.sandbox.rest.bulk.job_body import job_body
from streamer.sandbox.rest.bulk.jobs import JobRequest, JobState, QueryJob, QueryJobs, Rows
from streamer.sandbox.rest.bulk.query_checks import unsupported
from streamer.sandbox.rest.call import NO_CONTENT, Handler, RestCall, SandboxResponse
from streamer.sandbox.rest.representations import chosen
from streamer.sandbox.rest.resources import Resources

_OPERATIONS = {"query": False, "queryAll": True}
_SINCE, _PAGES_SINCE = 47.0, 58.0
_LISTED = 1_000
_URLS = 5
_MAX_DIGITS = 9


class RestQueryJobs:
    """Serves `jobs/query`: the jobs and their results."""

    def __init__(self, jobs: QueryJobs) -> None:
        self._jobs = jobs

    def add_to(self, resources: Resources) -> None:
        """Serve all of them."""
        root, one = "/jobs/query", "/jobs/query/{id}"
        resources.add(root, get=_since(_SINCE, self._list), post=_since(_SINCE, self._create))
        resources.add(
            one,
            get=_since(_SINCE, self._describe),
            patch=_since(_SINCE, self._abort),
            delete=_since(_SINCE, self._delete),
        )
        resources.add(f"{one}/results", get=_since(_SINCE, self._results))
        # The guide's own example of a further page spells it in lower case.
        for pages in ("resultPages", "resultpages"):
            resources.add(f"{one}/{pages}", get=_since(_PAGES_SINCE, self._pages))

    def _create(self, call: RestCall) -> SandboxResponse:
        body = call.json_object()
        query = body.get("query")
        if not isinstance(query, str) or not query:
            raise unsupported("A query job needs a query")
        chosen(body, "contentType", {"CSV"}, "CSV")
        request = JobRequest(
            query=query,
            include_deleted=_OPERATIONS[chosen(body, "operation", _OPERATIONS)],
            format=CsvFormat(
                chosen(body, "columnDelimiter", DELIMITERS, "COMMA"),
                chosen(body, "lineEnding", LINE_ENDINGS, "LF"),
            ),
            version=call.version,
            user_id=call.session.user_id,
            schema=call.schema,
        )
        return SandboxResponse(body=_job(self._jobs.create(request)))

    def _list(self, call: RestCall) -> SandboxResponse:
        wanted = call.query.get("jobType", "V2Query") == "V2Query"
        # Only jobs of the first Bulk API can request chunking by primary keys.
        wanted = wanted and call.query.get("isPkChunkingEnabled", "false").lower() != "true"
        after = _number(call.query.get("queryLocator"))
        found = [job for job in self._jobs.all() if wanted and job.number > after]
        listed, is_done = found[:_LISTED], len(found) <= _LISTED
        url = f"{call.base}/jobs/query?queryLocator={_locator(listed[-1].number)}" if not is_done else None
        records = [{**_job(job), "jobType": "V2Query"} for job in listed]
        return SandboxResponse(body={"done": is_done, "records": records, "nextRecordsUrl": url})

    def _describe(self, call: RestCall) -> SandboxResponse:
        job = self._jobs.get(call["id"])
        told = {} if job.error is None else {"errorMessage": job.error}
        more = {
            "jobType": "V2Query",
            "numberRecordsProcessed": job.processed,
            "retries": 0,
            "totalProcessingTime": job.ran_ms,
            "isPkChunkingSupported": True,
        }
        return SandboxResponse(body={**_job(job), **more, **told})

    def _abort(self, call: RestCall) -> SandboxResponse:
        job = self._own(call)
        if call.json_object().get("state") != JobState.ABORTED:
            raise Refused("INVALIDJOBSTATE", "A query job can only be set to the state Aborted")
        self._jobs.abort(job)
        return SandboxResponse(body=_job(job))

    def _delete(self, call: RestCall) -> SandboxResponse:
        self._jobs.delete(self._own(call))
        return NO_CONTENT

    def _results(self, call: RestCall) -> SandboxResponse:
        if call.is_part:
            # A composite answer can contain only JSON.
            raise not_found()
        job, rows = self._complete(call)
        start = _start(call, rows)
        end = min(start + self._asked(call), len(rows.held))
        headers = {
            "Content-Type": "text/csv; charset=UTF-8",
            "Sforce-NumberOfRecords": str(end - start),
            "Sforce-Locator": _locator(end) if end < len(rows.held) else "null",
        }
        chunks = job.request.format.chunks(rows.names, rows.page(start, end))
        fault = call.faults.strike("cut_results", InjectionPoint(on=RESULTS, path=job.object))
        cut_after = None if fault is None else fault.settings["after_bytes"]
        return SandboxResponse(chunks=chunks, headers=headers, cut_after=cut_after)

    def _pages(self, call: RestCall) -> SandboxResponse:
        job, rows = self._complete(call)
        page, count = self._jobs.limits.page_rows, max(1, len(rows.held))
        start = _start(call, rows)
        end = start + _URLS * page
        root = f"{call.base}/jobs/query/{job.id}"
        starts = range(start, min(end, count), page)
        urls = [{"resultUrl": f"{root}/results?locator={_locator(each)}"} for each in starts]
        is_done = end >= count
        following = None if is_done else f"{root}/resultPages?locator={_locator(end)}"
        return SandboxResponse(body={"resultPages": urls, "nextRecordsUrl": following, "done": is_done})

    def _own(self, call: RestCall) -> QueryJob:
        job = self._jobs.get(call["id"])
        if job.request.user_id != call.session.user_id:
            message = "The job was created by another user"
            raise Refused("INSUFFICIENT_ACCESS", message, status=403)
        return job

    def _complete(self, call: RestCall) -> tuple[QueryJob, Rows]:
        job = self._own(call)
        if job.request.version != call.version:
            message = f"The job was created in version {job.request.version} of the API"
            raise unsupported(message, status=409)
        if job.rows is None:
            raise Refused("INVALIDJOBSTATE", f"The job has no results in the state {job.state}")
        return job, job.rows

    def _asked(self, call: RestCall) -> int:
        most = self._jobs.limits.page_rows
        text = call.query.get("maxRecords")
        if text is None:
            return most
        if not _is_number(text) or int(text) < 1:
            raise unsupported("maxRecords must be a number of at least 1")
        return min(int(text), most)


def _since(version: float, handler: Handler) -> Handler:
    def handle(call: RestCall) -> SandboxResponse:
        if float(call.version) < version:
            raise not_found()
        return handler(call)

    return handle


def _job(job: QueryJob) -> dict[str, Any]:
    return job_body(job, "queryAll" if job.request.include_deleted else "query", job.object)


def _locator(number: int) -> str:
    return base64.urlsafe_b64encode(str(number).encode()).decode().rstrip("=")


def _number(locator: str | None) -> int:
    """Return the number in a locator, or 0 without a locator; raises `Refused` for an invalid locator."""
    if not locator:
        return 0
    try:
        text = base64.urlsafe_b64decode(locator + "=" * (-len(locator) % 4)).decode()
    except (binascii.Error, ValueError):
        text = ""
    if not _is_number(text):
        raise Refused("INVALID_QUERY_LOCATOR", "invalid query locator")
    return int(text)


def _start(call: RestCall, rows: Rows) -> int:
    start = _number(call.query.get("locator"))
    if start and start >= len(rows.held):
        raise Refused("INVALID_QUERY_LOCATOR", "invalid query locator")
    return start


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS
