"""Query jobs of the Bulk API 2.0 (its guide, query)."""

import re
from http import HTTPStatus
from typing import Any

from streamer.clock import Clock
from streamer.errors import RecordsRefused, RetryLater, SalesforceUnavailable
from streamer.ports import RecordPage, RecordQuery
from streamer.salesforce.queries.bulk_job import BulkJob
from streamer.salesforce.queries.csv_rows import OtherFields, Row, rows_of
from streamer.salesforce.queries.page_sizes import PAGE_BYTES
from streamer.salesforce.queries.soql import is_id, whole_of
from streamer.salesforce.rest import RequestRefused, Rest, RestResponse, refusal
from streamer.salesforce.rest_requests import RestRequest

_COMPLETE, _WAITING, _ENDED = "JobComplete", ("UploadComplete", "InProgress"), ("Failed", "Aborted")
_CODE = re.compile(r"[A-Z][A-Z_]{2,60}\b", re.ASCII)
_TEXT_LIMIT = 500
_LONGEST_LOCATOR = 2_000
_MOST_DIGITS = 12
_LAST = "null"
# So many rows are read in some milliseconds.
_ROWS_AT_ONCE = 500


class BulkQueries:
    """Creates query jobs, and reads their results."""

    def __init__(self, rest: Rest, clock: Clock) -> None:
        self._rest = rest
        self._clock = clock

    async def create(self, query: RecordQuery) -> BulkJob:
        """Create a job for `query`; raises `RetryLater` when the day's jobs are used up."""
        asked_ms = int(self._clock.now() * 1000)
        body = {
            "operation": "queryAll" if query.with_deleted else "query",
            "query": whole_of(query),
            "columnDelimiter": "COMMA",
            "lineEnding": "LF",
        }
        try:
            answer = await self._rest.post("jobs/query", body)
        except RequestRefused as error:
            if error.code == "LIMIT_EXCEEDED":
                raise RetryLater(f"{error}: the org's query jobs of the day are used up") from error
            raise
        job_id = answer.get("id") if isinstance(answer, dict) else None
        if not is_id(job_id):
            raise SalesforceUnavailable("POST jobs/query was answered, but not with a job")
        return BulkJob(version=self._rest.api_version, asked_ms=asked_ms, id=str(job_id))

    async def is_complete(self, job: BulkJob) -> bool:
        """Return whether the results can be read; raises `RecordsRefused` when there will be none."""
        answer = await self._rest.get(job.path)
        told = answer if isinstance(answer, dict) else {}
        state = told.get("state")
        if state in _ENDED:
            message = str(told.get("errorMessage") or "")[:_TEXT_LIMIT]
            code = found[0] if (found := _CODE.match(message)) else str(state)
            raise RecordsRefused(f"the query job {job.id} has ended as {state}. {message}".strip(), code=code)
        if state != _COMPLETE and state not in _WAITING:
            raise SalesforceUnavailable(f"GET {job.path} was answered, but not with a state that is known")
        return bool(state == _COMPLETE)

    async def results(self, query: RecordQuery, job: BulkJob, locator: str | None, rows: int) -> RecordPage:
        """Return the page at `locator`, of `rows` at most."""
        parameters = {"maxRecords": str(rows)} | ({"locator": locator} if locator is not None else {})
        headers = {"Accept": "text/csv"}
        path = f"{job.path}/results"
        request = RestRequest(method="GET", path=path, query=parameters, headers=headers)
        answer = await self._rest.exchange(request, answer_bytes=PAGE_BYTES)
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise refusal(str(request), answer)
        try:
            following = _following(answer, locator)
            found = await self._rows(answer, query, rows)
        except OtherFields as error:
            raise RecordsRefused(f"{request}: {error}", code="INVALID_FIELD") from None
        except ValueError as error:
            raise SalesforceUnavailable(
                f"{request} was answered, but not with a whole page: {error}"
            ) from None
        return RecordPage(rows=found, following=following, read_at=job.asked_ms / 1000)

    async def delete(self, job: BulkJob) -> None:
        """Delete a job and its results, and abort it before where that is necessary."""
        try:
            await self._rest.delete(job.path)
        except RequestRefused as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return
            await self._rest.patch(job.path, {"state": "Aborted"})
            await self._rest.delete(job.path)

    async def _rows(self, answer: RestResponse, query: RecordQuery, most: int) -> list[Row]:
        told = answer.headers.get("Sforce-NumberOfRecords", "")
        if not _is_number(told):
            raise ValueError("it does not say how many records it has (Sforce-NumberOfRecords)")
        promised = int(told)
        found: list[Row] = []
        for row in rows_of(answer.body, query.fields):
            found.append(row)
            if len(found) > min(most, promised):
                raise ValueError(f"it has more than {promised} records, or than the {most} asked for")
            if len(found) % _ROWS_AT_ONCE == 0:
                await self._clock.sleep(0)
        if len(found) != promised:
            raise ValueError(f"it has {len(found)} of {promised} records")
        return found


def _following(answer: RestResponse, locator: str | None) -> str | None:
    if answer.status != HTTPStatus.OK:
        raise ValueError(f"its status is {answer.status}")
    following = answer.headers.get("Sforce-Locator", "")
    if following == _LAST:
        return None
    if not 0 < len(following) <= _LONGEST_LOCATOR or not following.isprintable() or following == locator:
        raise ValueError("it does not say where the next one begins (Sforce-Locator)")
    return following


def _is_number(text: Any) -> bool:
    return isinstance(text, str) and text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS
