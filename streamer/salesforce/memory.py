"""In-memory twins: a source that plays scripted batches, and readers of scripted records."""

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count
from math import inf
from typing import Any

from streamer.clock import CLOCKS_DIFFER_S, Clock
from streamer.errors import RecordsRefused, StreamerError
from streamer.events import Batch, Channel, Checkpoint, JsonObject, NewEventsAfter, SoughtPlace, Start
from streamer.ports import Changed, Deletion, Deletions, RecordPage, RecordQuery
from streamer.salesforce.message import replay_id_of
from streamer.salesforce.retained import LastEventMissing, RetainedMessages, place_after

_REST = "rest"
_STAMP = "SystemModstamp"
_MINUTE_S = 60.0


class MemorySource:
    """Source that yields scripted `batches`, by the path of their channel.

    An iterator ends at the end of the script. As at Salesforce, reading after a
    checkpoint skips the messages that the checkpoint covers. If the script does not
    contain the replay id, no message is skipped. A checkpoint without a replay id
    covers the messages up to the checkpoint's last event. `opened` lists the paths
    that were read, with their starting positions, in the order of the calls.
    """

    def __init__(self, batches: Mapping[str, Sequence[Batch]]) -> None:
        self.script = {path: list(script) for path, script in batches.items()}
        self.opened: list[tuple[str, Checkpoint | Start]] = []
        self.settled: dict[str, Checkpoint] = {}

    async def batches(self, channel: Channel, *, after: Checkpoint | Start) -> AsyncGenerator[Batch, None]:
        """Yield the script's batches of `channel` after `after`."""
        self.opened.append((channel.path, after))
        for batch in _after(self.script.get(channel.path, []), after):
            yield batch

    def settle(self, checkpoint: Checkpoint, /) -> None:
        """Keep the last settled checkpoint of each path.

        A script never loses a session, so nothing resumes here.
        """
        self.settled[checkpoint.channel.path] = checkpoint


class MemoryRecords:
    """Reader of `records`, by entity and id, and of the `describes` of entities.

    If `error` is set, each call raises it. A request for a field in `hidden` is
    refused, and describes omit the field. `requests` lists the entity, ids and
    fields of each request; for a describe, the ids and the fields are empty.
    """

    def __init__(
        self,
        records: Mapping[str, Mapping[str, JsonObject]] | None = None,
        describes: Mapping[str, JsonObject] | None = None,
    ) -> None:
        self.records = {entity: dict(of_entity) for entity, of_entity in (records or {}).items()}
        self.describes = {**(describes or {})}
        self.requests_left: float | None = None
        self.error: StreamerError | None = None
        self.hidden: frozenset[str] = frozenset()
        self.requests: list[tuple[str, list[str], list[str]]] = []

    async def read(self, entity: str, ids: Sequence[str], fields: Sequence[str], /) -> dict[str, JsonObject]:
        """Return the matching entries of `records`."""
        self.requests.append((entity, list(ids), list(fields)))
        if self.error is not None:
            raise self.error
        if refused := [each for each in fields if each in self.hidden]:
            message = f"No such column '{refused[0]}' on sobject of type {entity}"
            raise RecordsRefused(message, code="INVALID_FIELD", field=refused[0])
        held = self.records.get(entity, {})
        return {
            each: {name: value for name, value in held[each].items() if name in fields}
            for each in ids
            if each in held
        }

    async def describe(self, entity: str, /) -> JsonObject:
        """Return the entry of `describes`, without the `hidden` fields."""
        self.requests.append((entity, [], []))
        if self.error is not None:
            raise self.error
        held = self.describes.get(entity)
        if held is None:
            raise RecordsRefused("The requested resource does not exist", code="NOT_FOUND")
        return {**held, "fields": [each for each in held["fields"] if each["name"] not in self.hidden]}


def _after(script: Sequence[Batch], after: Checkpoint | Start) -> list[Batch]:
    if isinstance(after, Start | NewEventsAfter):
        return list(script)
    replay_id = after.replay_id or after.skips_after
    if replay_id is None:
        return _retained(script, after)
    for number, batch in reversed(list(enumerate(script))):
        for index, message in reversed(list(enumerate(batch.messages))):
            if replay_id_of(message) == replay_id:
                rest: Sequence[Any] = batch.messages[index + 1 :]
                kept = [replace(batch, messages=rest)] if rest else []
                return _sought([*kept, *script[number + 1 :]], after)
    return _sought(script, after)


def _sought(script: Sequence[Batch], after: Checkpoint) -> list[Batch]:
    is_sought = isinstance(after, SoughtPlace) or after.replay_id is None
    return _retained(script, after) if is_sought else list(script)


def _retained(script: Sequence[Batch], checkpoint: Checkpoint) -> list[Batch]:
    _, retained = place_after(checkpoint, over_cometd=True)
    retained = retained or RetainedMessages.after(checkpoint, last=checkpoint.open_replay_id)
    try:
        selected = _selected(script, retained)
    except LastEventMissing:
        retained = retained.by_time()
        selected = _selected(script, retained)
    is_lost = retained.told_lost()
    since = retained.told_unmarked()
    return [
        replace(batch, place_lost=is_lost, unmarked_since=since) if number == 0 else batch
        for number, batch in enumerate(selected)
    ]


def _new(batch: Batch, retained: RetainedMessages) -> Sequence[Any]:
    if not batch.messages:
        retained.read_to_end()
    return retained.new(batch.messages)


def _selected(script: Sequence[Batch], retained: RetainedMessages) -> list[Batch]:
    selected = [(batch, _new(batch, retained)) for batch in script]
    # An empty batch would mean that no more of the skipped messages follow.
    return [replace(batch, messages=new) for batch, new in selected if new or not batch.messages]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    rows: Sequence[Mapping[str, Any]]
    asked_at: float


class MemoryQueries:
    """`RecordQueries` and `Replication` over `records` and `recycled`, by entity and id.

    Records have an `Id`, and for replication a `SystemModstamp`. A job keeps the
    records as they are when it begins. `conditions` give each `where` its
    meaning; an unknown `where` is refused. While `is_busy`, no job is ready. If
    `error` is set, each call raises it. A query with more fields than `longest`
    fits no page. An answer has at most `page_rows` records or `most_ids` ids. Like
    an org, replication reports whole minutes, and covers no time after
    `covered_to`, as if a transaction were still open. `ahead_s` is how far the
    org's clock is ahead of ours. `requests` lists the called methods.
    """

    def __init__(
        self,
        clock: Clock,
        records: MutableMapping[str, dict[str, JsonObject]] | None = None,
        *,
        page_rows: int = 50_000,
        most_ids: int = 600_000,
    ) -> None:
        self.records = records if records is not None else {}
        self.recycled: dict[str, dict[str, JsonObject]] = {}
        self.conditions: dict[str, Callable[[JsonObject], bool]] = {}
        self.jobs: dict[str, _Job] = {}
        self.requests_left: float | None = None
        self.ahead_s = 0.0
        self.error: StreamerError | None = None
        self.is_busy = False
        self.longest = inf
        self.covered_to = inf
        self.page_rows = page_rows
        self.most_ids = most_ids
        self.requests: list[str] = []
        self._clock = clock
        self._numbers = count(1)

    def recycle(self, entity: str, record_id: str, **changed: Any) -> None:
        """Move a record into the Recycle Bin and set the `changed` fields, such as `SystemModstamp`."""
        record = self.records[entity].pop(record_id)
        self.recycled.setdefault(entity, {})[record_id] = {**record, "IsDeleted": True, **changed}

    async def count(self, query: RecordQuery, /) -> int:
        """Return the number of records that match the query."""
        self._asked("count")
        return len(self._found(query))

    async def begin(self, query: RecordQuery, /, *, in_bulk: bool) -> str:
        """Return `rest`, or a job that keeps the records."""
        if not in_bulk and self.fits_pages(query):
            return _REST
        self._asked("begin")
        job = f"bulk:{next(self._numbers)}"
        rows = [{name: _in_csv(value) for name, value in row.items()} for row in self._found(query)]
        self.jobs[job] = _Job(rows=rows, asked_at=self._clock.now())
        return job

    def fits_pages(self, query: RecordQuery, /) -> bool:
        """Return whether the query has at most `longest` fields."""
        return len(query.fields) <= self.longest

    def is_live(self, job: str, /) -> bool:
        """Return true for `rest`, and false for a job that keeps records."""
        return job == _REST

    async def is_ready(self, job: str, /) -> bool:
        """Return whether the job is ready."""
        if job == _REST:
            return True
        self._asked("is_ready")
        self._job(job)
        return not self.is_busy

    async def page(self, query: RecordQuery, job: str, /, after: str | None, *, most: int) -> RecordPage:
        """Return the next records in the order of their ids."""
        self._asked("page")
        held = self._fresh(query) if job == _REST else self._job(job)
        rest = [row for row in held.rows if after is None or row["Id"] > after]
        rows = rest[: min(most, self.page_rows)]
        following = rows[-1]["Id"] if len(rows) < len(rest) else None
        return RecordPage(rows=rows, following=following, read_at=held.asked_at)

    async def end(self, job: str, /) -> None:
        """Forget a job."""
        if job != _REST:
            self._asked("end")
            self.jobs.pop(job, None)

    async def changed(self, entity: str, start: float, end: float, /) -> Changed:
        """Return the records whose `SystemModstamp` is in the span, or in the first part of a long span."""
        self._asked("changed")
        found, until, has_more = self._first(self._of(entity), start, end)
        return Changed(ids=[record_id for _, record_id in found], until=until, has_more=has_more)

    async def deleted(self, entity: str, start: float, end: float, /) -> Deletions:
        """Return the matching records in the Recycle Bin, as `changed` does for the other records."""
        self._asked("deleted")
        self._of(entity)
        found, until, has_more = self._first(self.recycled.get(entity, {}), start, end)
        deleted = [Deletion(record_id=record_id, deleted_at=at) for at, record_id in found]
        return Deletions(deleted=deleted, since=0.0, until=until, has_more=has_more)

    def _asked(self, request: str) -> None:
        self.requests.append(request)
        if self.error is not None:
            raise self.error

    def _fresh(self, query: RecordQuery) -> _Job:
        return _Job(rows=self._found(query), asked_at=self._clock.now())

    def _job(self, job: str) -> _Job:
        if job not in self.jobs:
            raise RecordsRefused("The requested resource does not exist", code="NOT_FOUND")
        return self.jobs[job]

    def _of(self, entity: str) -> Mapping[str, JsonObject]:
        if entity not in self.records:
            raise RecordsRefused(f"sObject type '{entity}' is not supported.", code="INVALID_TYPE")
        return self.records[entity]

    def _found(self, query: RecordQuery) -> list[JsonObject]:
        condition = self.conditions.get(query.where)
        if query.where and condition is None:
            raise RecordsRefused(f"unexpected token: {query.where}", code="MALFORMED_QUERY")
        records = {**self._of(query.entity)}
        if query.with_deleted:
            records |= self.recycled.get(query.entity, {})
        return [
            {name: record.get(name) for name in query.fields}
            for _, record in sorted(records.items())
            if condition is None or condition(record)
        ]

    def _first(
        self, records: Mapping[str, JsonObject], start: float, end: float
    ) -> tuple[list[tuple[float, str]], float, bool]:
        first = start // _MINUTE_S * _MINUTE_S
        last = max(-(-end // _MINUTE_S) * _MINUTE_S, first + 2 * _MINUTE_S)
        found = sorted(_stamped(records, first, last))
        until = min(last, self._clock.now() - CLOCKS_DIFFER_S, self.covered_to)
        has_more = len(found) > self.most_ids
        if has_more:
            until = min(until, found[self.most_ids][0])
            found = [each for each in found if each[0] < until]
        return found, until, has_more


def _stamped(records: Mapping[str, JsonObject], start: float, end: float) -> Iterator[tuple[float, str]]:
    for record_id, record in records.items():
        at = datetime.fromisoformat(record[_STAMP]).timestamp()
        if start <= at < end:
            yield at, record_id


def _in_csv(value: Any) -> str | None:
    if value is None or value == "":
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)
