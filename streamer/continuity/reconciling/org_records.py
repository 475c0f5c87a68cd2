"""Reader of the records that an org has changed and deleted in a time span."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from streamer.backoff import Backoff, Delays
from streamer.clock import Clock
from streamer.continuity.entity_reader import BULK_FROM
from streamer.continuity.reconciling.known_records import ComparedWindow, seconds_of, shown
from streamer.continuity.steps import asked_again_in_s, coverable_in_s
from streamer.errors import RecordsRefused, RetryLater, SalesforceUnavailable
from streamer.ports import Describer, RecordQueries, RecordQuery, RecordReader, Replication
from streamer.quota import ONE_REQUEST, JobCost

_STAMPS = "SystemModstamp", "LastModifiedDate"
_PAGE_ROWS = 10_000
_IDS_AT_ONCE = 2_000
_READY_S = 2.0
_TRIES = 5
_JOB = JobCost(requests=1, bulk_jobs=1)
_LONGEST_WAIT_S = 60.0
# Open transactions in the org hide later deletions, until Salesforce ends the transactions.
_LOOKS = 10
# The org reports deletions of the last 15 days.
_TOLD_S = 15 * 24 * 3600.0 - 3600.0

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconciledEntity:
    """An object by its API name, and the field with the time of a record's last change."""

    name: str
    stamp: str
    has_modified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordVersion:
    """Times of a record's last change in the org: the last change by anyone, and the last by a user."""

    id: str
    at: float
    modified_at: float | None = None


@dataclass(slots=True, kw_only=True)
class Deleted:
    """Times of deletions by record id, complete from `since` to `until`."""

    since: float
    until: float
    times: dict[str, float] = field(default_factory=dict)


async def admit_all(_: JobCost) -> None:
    """Return at once, so that no call has to wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgRecords:
    """Reads ids and times over the org's API; tries a few more times after a transient failure.

    `admit` returns when calls with a given cost can be made. Raises the errors of the ports.
    """

    queries: RecordQueries
    replication: Replication
    records: RecordReader
    describer: Describer
    clock: Clock
    bulk_from: int = BULK_FROM
    admit: Callable[[JobCost], Awaitable[None]] = admit_all

    async def entity(self, name: str) -> ReconciledEntity:
        """Return the object with that name, in any letter case."""
        describe = await self._asked(lambda: self.describer.describe(name))
        fields = {each["name"] for each in describe["fields"] if isinstance(each.get("name"), str)}
        stamp = next((each for each in _STAMPS if each in fields), None)
        if stamp is None:
            reason = (
                f"records of {name} can't be compared, because they have neither SystemModstamp nor "
                "LastModifiedDate"
            )
            raise RecordsRefused(reason, code="")
        found = str(describe.get("name") or name)
        return ReconciledEntity(name=found, stamp=stamp, has_modified=_STAMPS[1] in fields)

    async def count(self, entity: ReconciledEntity, window: ComparedWindow) -> int:
        """Return the number of records whose last change is in the window."""
        return await self._asked(lambda: self.queries.count(_query(entity, window)))

    async def changed(
        self, entity: ReconciledEntity, window: ComparedWindow, count: int
    ) -> AsyncGenerator[list[RecordVersion], None]:
        """Yield the records whose last change is in the window, a page at a time."""
        query = _query(entity, window)
        if count >= self.bulk_from:
            await self.admit(_JOB)
        job = await self._asked(lambda: self.queries.begin(query, in_bulk=count >= self.bulk_from))
        try:
            begun_at = self.clock.monotonic()
            while not await self._asked(lambda: self.queries.is_ready(job)):
                # A job that has taken long so far can take as long again.
                waited_s = self.clock.monotonic() - begun_at
                await self.clock.sleep(min(_READY_S + waited_s / 10, _LONGEST_WAIT_S))
            after: str | None = None
            while True:
                page = await self._page(query, job, after)
                yield [_record(entity, row) for row in page.rows]
                if page.following is None:
                    return
                after = page.following
        finally:
            await self.queries.end(job)

    async def present(self, entity: ReconciledEntity, ids: Sequence[str]) -> dict[str, RecordVersion]:
        """Return the records in `ids` that the org has, by id."""
        found: dict[str, RecordVersion] = {}
        for place in range(0, len(ids), _IDS_AT_ONCE):
            some = ids[place : place + _IDS_AT_ONCE]
            rows = await self._present(entity, some)
            found |= {each: _record(entity, {**row, "Id": each}) for each, row in rows.items()}
        return found

    async def deleted(self, entity: ReconciledEntity, since: float, until: float) -> Deleted:
        """Return the deletions from `since` to `until`; wait until the org covers the whole span."""
        begin = max(since, self.clock.now() - _TOLD_S)
        found = Deleted(since=begin, until=begin)
        pause_s, looks = coverable_in_s(until, self.clock.now()), 0
        while found.until < until and looks < _LOOKS:
            if pause_s:
                await self.clock.sleep(pause_s)
            start = found.until
            answer = await self._deletions(entity, start, until)
            found.since = max(found.since, answer.since)
            found.times |= {each.record_id: each.deleted_at for each in answer.deleted}
            found.until = max(start, answer.until)
            pause_s = asked_again_in_s(answer, start)
            looks = looks + 1 if pause_s else 0
        return found

    async def _page(self, query: RecordQuery, job: str, after: str | None) -> Any:
        return await self._asked(lambda: self.queries.page(query, job, after, most=_PAGE_ROWS))

    async def _present(self, entity: ReconciledEntity, ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
        return await self._asked(lambda: self.records.read(entity.name, ids, ("Id", entity.stamp)))

    async def _deletions(self, entity: ReconciledEntity, since: float, until: float) -> Any:
        return await self._asked(lambda: self.replication.deleted(entity.name, since, until))

    async def _asked(self, ask: Callable[[], Awaitable[_Answer]]) -> _Answer:
        await self.admit(ONE_REQUEST)
        delays = Delays(Backoff(first_s=1.0, limit_s=10.0))
        for _ in range(_TRIES - 1):
            try:
                return await ask()
            except RetryLater as error:
                await self.clock.sleep(error.after_s or delays.next_s())
        return await ask()


def _query(entity: ReconciledEntity, window: ComparedWindow) -> RecordQuery:
    fields = ["Id", entity.stamp]
    if entity.has_modified and entity.stamp != _STAMPS[1]:
        fields.append(_STAMPS[1])
    where = f"{entity.stamp} >= {shown(window.since)} AND {entity.stamp} <= {shown(window.until)}"
    return RecordQuery(entity=entity.name, fields=tuple(fields), where=where)


def _record(entity: ReconciledEntity, row: Mapping[str, Any]) -> RecordVersion:
    record_id, at = row.get("Id"), seconds_of(row.get(entity.stamp))
    if not isinstance(record_id, str) or at is None:
        raise SalesforceUnavailable(
            f"the org returned a record of {entity.name} without an Id or with an invalid {entity.stamp}"
        )
    return RecordVersion(id=record_id, at=at, modified_at=seconds_of(row.get(_STAMPS[1])))
