"""Look-ups of records of one org or service, which all subscribers of a process share."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from streamer.clock import Clock
from streamer.dispatch.lookups.cache import CachedRecord, FieldNames, Found, RecordCache
from streamer.dispatch.lookups.reading import (
    Allowance,
    FieldwiseReader,
    LookupBatch,
    LookupObserver,
    ObjectFields,
    SentLookup,
)
from streamer.errors import (
    RecordsRefused,
    RetryLater,
    SalesforceUnavailable,
    ServiceUnavailable,
    Stop,
    StreamerError,
)
from streamer.events import Event, EventId, JsonObject, record_id_of
from streamer.later import LaterLogger
from streamer.ports import LookupReader

_log = LaterLogger()

_OBJECTS = 256
_SEEN = 20_000
_END_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupLimits:
    """Limits of the look-ups of one org or service; see `streamer.settings.LookupsSettings`."""

    cache_s: float = 60.0
    cache_entries: int = 10_000
    cache_bytes: int = 32 * 1024 * 1024
    batch: int = 200
    max_in_flight: int = 4
    collect_s: float = 0.005
    timeout_s: float = 30.0
    reserve: float = 0.2


class RecordLookups:
    """Reads records for events, many in one call; reads a record again only when the record can have changed.

    Look-ups of one object, from any subscriber and lane, share a call. The call waits
    for more look-ups for `collect_s` seconds, or until the batch of the call is full. A
    record is read with all fields that any subscriber wants, and this record answers
    all look-ups for `cache_s` seconds. After `changed`, no look-up gets a record that
    was read before the change.
    """

    def __init__(
        self, reader: LookupReader, clock: Clock, limits: LookupLimits, observer: LookupObserver
    ) -> None:
        self._reader = reader
        self._reading = FieldwiseReader(reader=reader, clock=clock, observer=observer)
        self._clock = clock
        self._limits = limits
        self._observer = observer
        self._most = limits.batch
        self._cache = RecordCache(
            clock=clock,
            lifetime_s=limits.cache_s,
            most_entries=limits.cache_entries,
            most_bytes=limits.cache_bytes,
        )
        self._allowance = Allowance(clock=clock, reserve=limits.reserve)
        self._objects: dict[str, ObjectFields] = {}
        self._collecting: dict[str, LookupBatch] = {}
        self._batches: dict[str, LookupBatch] = {}
        self._seen: OrderedDict[EventId, None] = OrderedDict()
        self._calls = asyncio.Semaphore(limits.max_in_flight)
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["RecordLookups"]:
        """Allow look-ups inside the context; at the end, calls in flight have two seconds to finish."""
        try:
            yield self
        finally:
            if self._tasks:
                # A call can renew the token, and an interrupted renewal can lose the token.
                with suppress(TimeoutError):
                    async with self._clock.timeout(_END_S):
                        await asyncio.wait(self._tasks)
            for task in self._tasks:
                task.cancel()

    def changed(self, event: Event) -> None:
        """Mark the record of `event` as changed, unless this process has seen the event before.

        The next look-up then reads the record again. Salesforce commits a change before
        it publishes the event. So a record that is read after this process first saw
        the event contains the change, whichever subscriber sees the event next.
        """
        if not isinstance(event.data, dict) or "record_id" not in event.data or not self._is_new(event.id):
            return
        record_id = record_id_of(event.data["record_id"])
        if record_id is not None:
            self._cache.drop(record_id)
            outdated = [self._batches[record_id]] if record_id in self._batches else []
        else:
            # An event without a single record id concerns many records of one object.
            sobject = str(event.data.get("entity"))
            self._cache.drop_object(sobject)
            outdated = [each for each in self._batches.values() if each.sobject == sobject]
        for batch in outdated:
            if batch.sent is not None:
                batch.outdated.update(batch.ids if record_id is None else (record_id,))

    @property
    def batch(self) -> int:
        """Maximum number of records that one call reads."""
        return self._limits.batch

    def known(self, sobject: str, record_id: str, fields: FieldNames) -> tuple[JsonObject | None] | None:
        """Return the result of `find` in a tuple, if `find` needs no call; otherwise `None`."""
        cached = self._cached(sobject, record_id, fields)
        return None if cached is None else (_named(cached, fields),)

    def cached(self, sobject: str, record_id: str, fields: FieldNames) -> tuple[JsonObject | None] | None:
        """Return the result of `known`; count a look-up if the result is not `None`."""
        known = self.known(sobject, record_id, fields)
        if known is not None:
            self._observer.looked_up("cached")
        return known

    def expect(self, sobject: str, record_id: str, fields: FieldNames) -> bool:
        """Begin to read a record that will be looked up, if the record can be read now.

        Returns true if no read of the record had begun before. Without a cache, the result
        would serve nobody, so nothing is read.
        """
        if not self._limits.cache_s:
            return False
        if self._cached(sobject, record_id, fields) is not None:
            return False
        before = self._batches.get(record_id)
        try:
            return self._joined(sobject, record_id, fields) is not before
        except StreamerError:
            # The look-up of the record reports this error.
            return False

    async def find(self, sobject: str, record_id: str, fields: FieldNames) -> JsonObject | None:
        """Return `fields` of a record, or `None` if the org's user can see no such record.

        A field that Salesforce or the service leaves out is also missing in the result.
        Raises `RecordsRefused` with the name of a refused field. Raises `RetryLater`
        when there is no answer, or when no call can be made now. Raises a `Stop` when
        an operator must act before another attempt.
        """
        try:
            record, result = await self._found(sobject, record_id, fields)
        except RecordsRefused:
            self._observer.looked_up("refused")
            raise
        except StreamerError:
            self._observer.looked_up("failed")
            raise
        self._observer.looked_up(result)
        return _named(record, fields)

    async def _found(self, sobject: str, record_id: str, fields: FieldNames) -> tuple[CachedRecord, str]:
        if (cached := self._cached(sobject, record_id, fields)) is not None:
            return cached, "cached"
        while True:
            batch = self._joined(sobject, record_id, fields)
            await batch.done()
            if isinstance(batch.answer, StreamerError):
                raise batch.answer.with_traceback(None)
            if (refusal := self._object(sobject).refusal(fields.names)) is not None:
                raise refusal.with_traceback(None)
            if batch.serves(record_id, fields.keys):
                return _record(batch, batch.answer, record_id), "read"

    def _cached(self, sobject: str, record_id: str, fields: FieldNames) -> CachedRecord | None:
        self._object(sobject).want(fields)
        return self._cache.get(sobject, record_id, fields.keys)

    def _joined(self, sobject: str, record_id: str, fields: FieldNames) -> LookupBatch:
        """Return the batch that reads the record; raises the reason why the record can't be read."""
        hindrance = self._object(sobject).refusal(fields.names) or self._allowance.hindrance
        if hindrance is not None:
            raise hindrance.with_traceback(None)
        batch = self._batches.get(record_id)
        if batch is not None and batch.sobject == sobject and batch.serves(record_id, fields.keys):
            return batch
        batch = self._collecting.get(sobject)
        if batch is None or not batch.is_open:
            batch = self._collecting[sobject] = LookupBatch(sobject=sobject, most=self._most)
            task = asyncio.create_task(self._read(batch), name=f"look up {sobject}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        batch.add(record_id)
        self._batches[record_id] = batch
        return batch

    async def _read(self, batch: LookupBatch) -> None:
        try:
            await batch.collected(self._clock, self._limits.collect_s)
            # More ids can join the batch while other calls are in flight.
            async with self._calls:
                await self._send(batch)
        except (RetryLater, Stop) as error:
            self._failed(batch, error)
        except RecordsRefused as error:
            self._object(batch.sobject).refuse(error)
            batch.answer = error
        except Exception as error:  # noqa: BLE001 - an unexpected answer causes only a retry of its look-ups
            _log.exception("lookups.failed", sobject=batch.sobject)
            self._failed(
                batch, RetryLater(f"the answer to the look-up can't be used: {type(error).__name__}")
            )
        finally:
            self._leave(batch)
            self._observer.held(entries=len(self._cache), size=self._cache.size, waits=self._allowance.waits)

    def _failed(self, batch: LookupBatch, error: RetryLater | Stop) -> None:
        batch.answer = error
        if self._allowance.hindrance is None:
            self._allowance.failed(error)
        if isinstance(error, SalesforceUnavailable | ServiceUnavailable):
            # The answer can have been too large or too slow.
            self._most = max(1, self._most // 2)

    def _leave(self, batch: LookupBatch) -> None:
        for record_id in batch.ids:
            if self._batches.get(record_id) is batch:
                del self._batches[record_id]
        if self._collecting.get(batch.sobject) is batch:
            del self._collecting[batch.sobject]
        batch.finish()

    async def _send(self, batch: LookupBatch) -> None:
        if (hindrance := self._allowance.hindrance) is not None:
            raise hindrance
        of = self._object(batch.sobject)
        names = of.names()
        batch.sent = sent = SentLookup(self._clock.monotonic(), _keys(names))
        batch.answer = records = await self._reading.read(of, list(batch.ids), names)
        batch.sent = sent = SentLookup(sent.at, _keys(each for each in names if of.refusal((each,)) is None))
        if not sent.fields:
            # Every waiting look-up wants a refused field.
            return
        self._allowance.answered(self._reader.requests_left)
        self._most = min(self._limits.batch, self._most * 2)
        refused = {each for each, found in records.items() if isinstance(found, RecordsRefused)}
        for record_id in batch.ids.keys() - batch.outdated - refused:
            self._cache.put(record_id, _record(batch, records, record_id))

    def _object(self, sobject: str) -> ObjectFields:
        found = self._objects.get(sobject)
        if found is None:
            if len(self._objects) >= _OBJECTS:
                self._objects.clear()
            found = self._objects[sobject] = ObjectFields(sobject=sobject, clock=self._clock)
        return found

    def _is_new(self, event_id: EventId) -> bool:
        if event_id in self._seen:
            return False
        self._seen[event_id] = None
        if len(self._seen) > _SEEN:
            self._seen.popitem(last=False)
        return True


def _record(batch: LookupBatch, records: Mapping[str, Found], record_id: str) -> CachedRecord:
    """Return the record that the batch has read; raises the refusal of the record."""
    found = records.get(record_id)
    if isinstance(found, RecordsRefused):
        raise found.with_traceback(None)
    return CachedRecord(
        sobject=batch.sobject,
        values=found,
        fields=batch.sent.fields if batch.sent else frozenset(),
        read_at=batch.sent.at if batch.sent else 0.0,
    )


def _named(record: CachedRecord, fields: FieldNames) -> JsonObject | None:
    """Return `fields` of the record in their requested spelling; `None` if the record is missing."""
    values = record.values
    if values is None:
        return None
    return {name: values[key] for name, key in fields.pairs if key in values}


def _keys(names: Iterable[str]) -> frozenset[str]:
    return frozenset(each.lower() for each in names)
