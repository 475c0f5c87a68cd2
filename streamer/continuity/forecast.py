"""Forecast of the cost of a snapshot, before an operator orders the snapshot."""

from collections.abc import Callable
from dataclasses import dataclass

from streamer.continuity.entity_reader import BULK_FROM, PAGE_ROWS
from streamer.continuity.progress import RecordSelection, query_of, shape_of
from streamer.controls import SnapshotOrder
from streamer.errors import RecordsRefused, UnreadableEvent
from streamer.normalise.records import RecordShape
from streamer.ports import Describer, RecordQueries
from streamer.quota import Governor, JobCost, LimitsReading, bulk_job, cost_sentence, query

# One request describes the entity, and one counts its records.
_AROUND = JobCost(requests=2)
# One request finds the deletions, and one finds deleted records that exist again.
_DELETIONS = JobCost(requests=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotForecast:
    """Cost of a snapshot of `records` records, with a query job of the Bulk API or over REST.

    `sentence` states the cost and the remaining allowance. `waits` says why the
    snapshot can't be read completely now. If the snapshot can be read, `waits` is
    empty.
    """

    records: int
    in_bulk: bool
    cost: JobCost
    sentence: str
    waits: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotForecaster:
    """Estimates the cost of a snapshot with two requests, with the same limits as `EntityReader`."""

    queries: RecordQueries
    describer: Describer
    limits: Callable[[], LimitsReading | None] = lambda: None
    bulk_from: int = BULK_FROM
    page_rows: int = PAGE_ROWS

    async def forecast(self, order: SnapshotOrder) -> SnapshotForecast:
        """Return the expected cost of `order`.

        For an order that Salesforce refuses, raises `RecordsRefused` with the
        mistake and a remedy. Other failures raise the errors of the ports.
        """
        part = RecordSelection(entity=order.entity, where=order.where, fields=order.fields, since=order.since)
        records = await self._count(part, await self._shape(part))
        governor = Governor(reading=self.limits, requests_left=lambda: self.queries.requests_left)
        in_bulk = records >= self.bulk_from and governor.has_bulk_jobs
        cost = (bulk_job if in_bulk else query)(records, page=self.page_rows) + _AROUND
        if part.since is not None:
            cost += _DELETIONS
        return SnapshotForecast(
            records=records,
            in_bulk=in_bulk,
            cost=cost,
            sentence=cost_sentence(cost, self.limits()),
            waits=governor.reason_to_wait(cost),
        )

    async def _shape(self, part: RecordSelection) -> RecordShape:
        try:
            return await shape_of(part, self.describer)
        except RecordsRefused as error:
            remedy = "check the object's API name, and let the user of org.auth read the object"
            raise RecordsRefused(f"the object {part.entity}: {error}: {remedy}", code=error.code) from error
        except UnreadableEvent as error:
            remedy = (
                "correct the names of the fields, let the user of org.auth read these fields, or "
                "name no fields to read all"
            )
            raise RecordsRefused(f"the fields: {error}: {remedy}", code="") from error

    async def _count(self, part: RecordSelection, shape: RecordShape) -> int:
        try:
            return await self.queries.count(query_of(part, shape))
        except RecordsRefused as error:
            place = "the condition" if part.where else f"the object {part.entity}"
            remedy = "correct the condition" if part.where else "Salesforce allows no query of these records"
            raise RecordsRefused(f"{place}: {error}: {remedy}", code=error.code) from error
