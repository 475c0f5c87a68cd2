"""Reader of all records that match a query: see `streamer.ports.RecordQueries`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from streamer.clock import Clock
from streamer.errors import RecordsRefused, SalesforceUnavailable
from streamer.events import JsonObject
from streamer.ports import RecordPage, RecordQuery
from streamer.salesforce.queries.bulk import BulkJob, BulkQueries
from streamer.salesforce.queries.soql import (
    PAGE_BYTES,
    PageSizes,
    count_of,
    fits_address,
    is_id,
    page_of,
    pages_fit,
)
from streamer.salesforce.rest import AnswerTooLarge, AnswerTooLate, RequestRefused, Rest
from streamer.salesforce.rest_requests import RestRequest

_log = structlog.get_logger()

_REST = "rest"
# Salesforce returns at most this many records in one answer (REST API guide, query options header).
_REST_ROWS = 2_000
# Salesforce ends a query after two minutes with this code.
_TOO_LONG = "QUERY_TIMEOUT"
# No org has this many records; the log counts up to 2 ** 53.
_MOST_RECORDS = 10**12


class RestQueries:
    """Reader of records over REST, or by query jobs of the Bulk API 2.0.

    Over REST, each page is a new query for the records after the last id of the
    previous page. So no query needs a cursor. Salesforce gives a user only a few
    cursors, and keeps each for two days. One page needs at most a few tens of
    megabytes of memory.
    """

    def __init__(self, rest: Rest, clock: Clock) -> None:
        self._rest = rest
        self._clock = clock
        self._bulk = BulkQueries(rest, clock)
        self._sizes = PageSizes()

    @property
    def requests_left(self) -> float | None:
        """Share of the org's daily requests that is left: see `RecordQueries`."""
        return self._rest.requests_left

    @property
    def ahead_s(self) -> float:
        """Seconds by which Salesforce's clock is ahead of ours: see `RecordQueries`."""
        return self._rest.ahead_s

    async def count(self, query: RecordQuery, /) -> int:
        """Return the number of records that match the query: see `RecordQueries`."""
        answer = await self._asked(query, count_of(query))
        found = answer.get("totalSize")
        if type(found) is not int or not 0 <= found <= _MOST_RECORDS:
            raise SalesforceUnavailable(f"the answer to the count of {query.entity} contains no number")
        return found

    async def begin(self, query: RecordQuery, /, *, in_bulk: bool) -> str:
        """Return a job that reads the records: see `RecordQueries`."""
        if not in_bulk and pages_fit(query):
            return _REST
        with _refused():
            return str(await self._bulk.create(query))

    def fits_pages(self, query: RecordQuery, /) -> bool:
        """Return whether a GET can hold the query of a page: see `RecordQueries`."""
        return pages_fit(query)

    def is_live(self, job: str, /) -> bool:
        """Return whether each page is read only when it is requested: see `RecordQueries`."""
        return job == _REST

    async def is_ready(self, job: str, /) -> bool:
        """Return whether the pages of `job` can be read: see `RecordQueries`."""
        if job == _REST:
            return True
        with _refused():
            return await self._bulk.is_complete(BulkJob.of(job))

    async def page(self, query: RecordQuery, job: str, /, after: str | None, *, most: int) -> RecordPage:
        """Return the next page of `job`: see `RecordQueries`."""
        while True:
            rows = self._sizes.rows(query, min(most, _REST_ROWS) if job == _REST else most)
            try:
                with _refused():
                    page = await self._page(query, job, after, rows)
            except AnswerTooLarge:
                if rows == 1:
                    raise
                self._sizes.was_too_large(query, rows)
            except AnswerTooLate:
                # The caller waits, and then tries again with a smaller page.
                self._sizes.was_too_large(query, rows)
                raise
            except RecordsRefused as error:
                if error.code != _TOO_LONG or rows == 1:
                    raise
                self._sizes.was_too_large(query, rows)
                raise SalesforceUnavailable(str(error)) from error
            else:
                self._sizes.was_read(query)
                return page

    async def end(self, job: str, /) -> None:
        """Delete the data of `job` from the org: see `RecordQueries`."""
        if job == _REST:
            return
        try:
            await self._bulk.delete(BulkJob.of(job))
        except (RequestRefused, RecordsRefused) as error:
            # Salesforce itself deletes the job after 7 days.
            _log.info("query_job.not_deleted", job=job[:80], reason=str(error))

    async def _page(self, query: RecordQuery, job: str, after: str | None, rows: int) -> RecordPage:
        if job != _REST:
            return await self._bulk.results(query, BulkJob.of(job), after, rows)
        if after is not None and not is_id(after):
            raise RecordsRefused(f"{after[:80]!r} is not a record id", code="INVALID_QUERY_LOCATOR")
        read_at = self._clock.now()
        answer = await self._asked(query, page_of(query, after, rows))
        found = _rows(answer, query, after)
        if len(found) > rows:
            raise SalesforceUnavailable(f"a page of {query.entity} has more records than requested ({rows})")
        # Salesforce can end an answer before the requested limit.
        is_last = answer.get("done") is True and len(found) < rows
        if not found and not is_last:
            raise SalesforceUnavailable(f"a page of {query.entity} has no record, but is not the last page")
        return RecordPage(rows=found, following=None if is_last else found[-1]["Id"], read_at=read_at)

    async def _asked(self, query: RecordQuery, soql: str) -> JsonObject:
        if not fits_address(soql):
            raise RecordsRefused(
                f"the query of {query.entity} is too long for the REST API: shorten the condition or "
                "the list of fields, or use the Bulk API",
                code="URI_TOO_LONG",
            )
        resource = "queryAll" if query.with_deleted else "query"
        request = RestRequest(method="GET", path=resource, query={"q": soql})
        with _refused():
            answer = await self._rest.ask(request, answer_bytes=PAGE_BYTES)
        if not isinstance(answer, dict):
            raise SalesforceUnavailable(f"the answer to a query of {query.entity} has no records")
        return answer


@contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except RequestRefused as error:
        raise RecordsRefused(str(error), code=error.code) from error


def _rows(answer: JsonObject, query: RecordQuery, after: str | None) -> list[dict[str, Any]]:
    """Return the records, keyed by the query's field names, in the order of their ids."""
    records = answer.get("records")
    if not isinstance(records, list) or not all(_is_record(each) for each in records):
        raise SalesforceUnavailable(f"the answer to a query of {query.entity} has no records")
    if any(each["Id"] == after for each in records):
        raise SalesforceUnavailable(f"a page of {query.entity} repeats the last record of the previous page")
    asked = {each.lower(): each for each in query.fields}
    return [
        {asked[name.lower()]: value for name, value in record.items() if name.lower() in asked}
        for record in records
    ]


def _is_record(record: Any) -> bool:
    return isinstance(record, dict) and is_id(record.get("Id"))
