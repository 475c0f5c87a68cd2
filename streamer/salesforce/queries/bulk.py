"""Query jobs of the Bulk API 2.0 (its guide, query), and the rows of their results."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self

from streamer.clock import Clock
from streamer.errors import RecordsRefused, RetryLater, SalesforceUnavailable
from streamer.ports import RecordPage, RecordQuery
from streamer.salesforce.queries.soql import PAGE_BYTES, is_id, whole_of
from streamer.salesforce.rest import RequestRefused, Rest, RestResponse, refusal
from streamer.salesforce.rest_requests import RestRequest

_JOB_TEXT = re.compile(r"bulk:(\d{1,3}\.\d):(\d{1,15}):([A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?)", re.ASCII)
Row = dict[str, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkJob:
    """Query job, with the values that are needed to read its results after a restart: see `RecordQueries`.

    Salesforce returns the results only in the API `version` that created the
    job (Bulk API 2.0 guide, get results). `asked_ms` is a time before the job's
    creation, in epoch milliseconds.
    """

    version: str
    asked_ms: int
    id: str

    @classmethod
    def of(cls, text: str) -> Self:
        """Return the job that `text` names. Raises `RecordsRefused` if it names no job."""
        found = _JOB_TEXT.fullmatch(text)
        if found is None:
            raise RecordsRefused(f"{text[:80]!r} is not a query job: begin a new query job", code="NOT_FOUND")
        return cls(version=found[1], asked_ms=int(found[2]), id=found[3])

    def __str__(self) -> str:
        return f"bulk:{self.version}:{self.asked_ms}:{self.id}"

    @property
    def path(self) -> str:
        """Path of the job, in the job's API version."""
        return f"/services/data/v{self.version}/jobs/query/{self.id}"


# Some writers end a CSV with blank lines. Skipping them blocks the event loop.
_MOST_BLANK = 1_000
_COLUMN_NAME = re.compile(r"[A-Za-z]\w{0,254}", re.ASCII)


class OtherFields(ValueError):
    """The rows have other fields than the query, because the entity or the user's rights have changed."""


def rows_of(body: bytes, columns: Sequence[str]) -> Iterator[Row]:
    """Yield the rows of a CSV with a header, keyed by `columns`; an empty cell becomes `None`.

    Raises `ValueError` if the body is invalid: a wrong header, a row with a
    missing or an extra cell, an open quote, or invalid UTF-8. The error quotes
    no value. If the header consists of names and has `Id`, the error is
    `OtherFields`.
    """
    # Python's default limit is too small for a long text with line breaks, which Salesforce counts once.
    # The limit belongs to the process, so it is only raised.
    csv.field_size_limit(max(csv.field_size_limit(), PAGE_BYTES))
    text = io.TextIOWrapper(io.BytesIO(body), encoding="utf-8-sig", newline="")
    reader = csv.reader(text, strict=True)
    try:
        names = _named_columns(next(reader, []), columns)
        blank = 0
        for number, cells in enumerate(reader, start=1):
            if not cells:
                blank += 1
                if blank > _MOST_BLANK:
                    raise ValueError(f"more than {_MOST_BLANK} lines are blank")
                continue
            if len(cells) != len(names):
                raise ValueError(f"row {number} has {len(cells)} cells, but the header has {len(names)}")
            yield {name: cell or None for name, cell in zip(names, cells, strict=True)}
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num} is not CSV ({error})") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"a text is not UTF-8 ({error.reason})") from None


def _named_columns(header: Sequence[str], columns: Sequence[str]) -> list[str]:
    """Return the columns' names in the order of the header, which can differ from the query's order."""
    asked = {each.lower(): each for each in columns}
    found = [asked.get(each.lower()) for each in header]
    if len(found) != len(columns) or set(found) != set(columns):
        missing = [each for each in columns if each not in found]
        lacking = f": these fields are missing: {', '.join(missing[:3])}" if missing else ""
        is_of_records = "id" in map(str.lower, header) and all(map(_COLUMN_NAME.fullmatch, header))
        error = OtherFields if is_of_records else ValueError
        raise error(f"the header does not match the query's {len(columns)} fields{lacking}")
    return [each for each in found if each is not None]


_COMPLETE, _WAITING, _ENDED = "JobComplete", ("UploadComplete", "InProgress"), ("Failed", "Aborted")
_CODE = re.compile(r"[A-Z][A-Z_]{2,60}\b", re.ASCII)
_TEXT_LIMIT = 500
_LONGEST_LOCATOR = 2_000
_MOST_DIGITS = 12
_LAST = "null"
# Reading this many rows takes some milliseconds.
_ROWS_AT_ONCE = 500


class BulkQueries:
    """Creates query jobs, and reads their results."""

    def __init__(self, rest: Rest, clock: Clock) -> None:
        self._rest = rest
        self._clock = clock

    async def create(self, query: RecordQuery) -> BulkJob:
        """Create a job for `query`. Raises `RetryLater` if the org has used up its jobs of the day."""
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
                raise RetryLater(f"{error}: the org has reached the daily limit of query jobs") from error
            raise
        job_id = answer.get("id") if isinstance(answer, dict) else None
        if not is_id(job_id):
            raise SalesforceUnavailable("the answer to POST jobs/query contains no job id")
        return BulkJob(version=self._rest.api_version, asked_ms=asked_ms, id=str(job_id))

    async def is_complete(self, job: BulkJob) -> bool:
        """Return whether the results can be read. Raises `RecordsRefused` if the job has failed."""
        answer = await self._rest.get(job.path)
        told = answer if isinstance(answer, dict) else {}
        state = told.get("state")
        if state in _ENDED:
            message = str(told.get("errorMessage") or "")[:_TEXT_LIMIT]
            code = found[0] if (found := _CODE.match(message)) else str(state)
            raise RecordsRefused(f"the query job {job.id} has ended as {state}. {message}".strip(), code=code)
        if state != _COMPLETE and state not in _WAITING:
            raise SalesforceUnavailable(f"the answer to GET {job.path} has no known state")
        return bool(state == _COMPLETE)

    async def results(self, query: RecordQuery, job: BulkJob, locator: str | None, rows: int) -> RecordPage:
        """Return the page at `locator`, with at most `rows` records."""
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
            raise SalesforceUnavailable(f"the answer to {request} is not a complete page: {error}") from None
        return RecordPage(rows=found, following=following, read_at=job.asked_ms / 1000)

    async def delete(self, job: BulkJob) -> None:
        """Delete a job and its results. A running job is first aborted."""
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
            raise ValueError("the number of records is missing (header Sforce-NumberOfRecords)")
        promised = int(told)
        found: list[Row] = []
        for row in rows_of(answer.body, query.fields):
            found.append(row)
            if len(found) > min(most, promised):
                raise ValueError(
                    f"the page has more records than announced ({promised}) or requested ({most})"
                )
            if len(found) % _ROWS_AT_ONCE == 0:
                await self._clock.sleep(0)
        if len(found) != promised:
            raise ValueError(f"the page has {len(found)} records, but the header announces {promised}")
        return found


def _following(answer: RestResponse, locator: str | None) -> str | None:
    if answer.status != HTTPStatus.OK:
        raise ValueError(f"the status of the answer is {answer.status}")
    following = answer.headers.get("Sforce-Locator", "")
    if following == _LAST:
        return None
    if not 0 < len(following) <= _LONGEST_LOCATOR or not following.isprintable() or following == locator:
        raise ValueError("the next page is not named (header Sforce-Locator)")
    return following


def _is_number(text: Any) -> bool:
    return isinstance(text, str) and text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS
