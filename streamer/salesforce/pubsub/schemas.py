"""Cache of event schemas by id, and the decoder of events that uses the cache."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from streamer.clock import Clock, SystemClock
from streamer.errors import SalesforceUnavailable, UnreadableEvent
from streamer.eventbus import ConsumerEvent, ProducerEvent
from streamer.events import LONGEST_REPLAY_ID, JsonObject, ReplayId, Unreadable
from streamer.salesforce.pubsub.avro import EventSchema, UnusableSchema
from streamer.schema_ids import LONGEST_SCHEMA_ID, known_schema_id

Fetch = Callable[[str], Awaitable[str]]
"""Fetches the JSON of a schema by its id. Raises `UnusableSchema` if Salesforce does not have it."""

_LIMIT = 500
_MOST_BYTES = 128 * 1024 * 1024
# Compiling a larger schema takes between some milliseconds and some tenths of a second.
_COMPILED_IN_THREAD_FROM = 16 * 1024
# On a channel with an unusable schema, each event names that schema again.
_UNUSABLE_FOR_S = 60.0


@dataclass(slots=True)
class _Fetching:
    """Fetch in progress, and its number of callers."""

    task: asyncio.Task[EventSchema]
    callers: int = 0


@dataclass(frozen=True, slots=True)
class _Unusable:
    """Refusal of a schema, valid until a time of the clock."""

    message: str
    until: float


class Schemas:
    """Fetches each schema once, and keeps the most recently used schemas.

    It keeps at most `limit` schemas, and roughly at most `most_bytes` of memory.

    An id is the fingerprint of one schema text (REST API guide, platform event
    schema), so no schema expires. An unusable schema is remembered for a minute.
    """

    def __init__(
        self,
        fetch: Fetch,
        *,
        clock: Clock | None = None,
        limit: int = _LIMIT,
        most_bytes: int = _MOST_BYTES,
    ) -> None:
        self._fetch = fetch
        self._clock = SystemClock() if clock is None else clock
        self._limit = limit
        self._most_bytes = most_bytes
        self._bytes = 0
        self._known: OrderedDict[str, EventSchema | _Unusable] = OrderedDict()
        self._fetching: dict[str, _Fetching] = {}

    def known(self, schema_id: str) -> EventSchema | None:
        """Return the schema if it is in the cache, or `None`."""
        schema = self._known.get(schema_id)
        if not isinstance(schema, EventSchema):
            return None
        self._known.move_to_end(schema_id)
        return schema

    async def get(self, schema_id: str) -> EventSchema:
        """Return the schema with an id.

        Concurrent callers share one fetch and its failure; a later call fetches
        again. If a caller is cancelled, the fetch continues for the other callers;
        without other callers, the fetch is cancelled.

        Raises `UnusableSchema`, the errors of `fetch`, and
        `SalesforceUnavailable` if other code cancelled the fetch.
        """
        schema = self.known(schema_id)
        if schema is not None:
            return schema
        self._refuse_unusable(schema_id)
        fetching = self._fetching.get(schema_id) or self._begin(schema_id)
        fetching.callers += 1
        try:
            await asyncio.wait([fetching.task])
        finally:
            fetching.callers -= 1
            if not fetching.callers and not fetching.task.done():
                # A new caller must not join a fetch that is being cancelled.
                self._forget(schema_id, fetching)
                fetching.task.cancel()
        if fetching.task.cancelled():
            raise SalesforceUnavailable(f"The fetch of the event schema {schema_id[:40]!r} was cancelled")
        return fetching.task.result()

    def _begin(self, schema_id: str) -> _Fetching:
        task = asyncio.create_task(self._fetched(schema_id), name=f"schema {schema_id[:40]}")
        fetching = self._fetching[schema_id] = _Fetching(task)

        def ended(task: asyncio.Task[EventSchema]) -> None:
            self._forget(schema_id, fetching)
            if not task.cancelled():
                # Reading the exception stops asyncio from reporting a failure without callers.
                task.exception()

        task.add_done_callback(ended)
        return fetching

    async def _fetched(self, schema_id: str) -> EventSchema:
        try:
            schema = await _compiled(schema_id, await self._fetch(schema_id))
        except UnusableSchema as error:
            self._keep(schema_id, _Unusable(str(error), self._clock.monotonic() + _UNUSABLE_FOR_S))
            raise
        self._keep(schema_id, schema)
        return schema

    def _keep(self, schema_id: str, schema: EventSchema | _Unusable) -> None:
        self._drop(schema_id)
        self._known[schema_id] = schema
        self._bytes += _size(schema)
        while len(self._known) > self._limit or (self._bytes > self._most_bytes and len(self._known) > 1):
            self._drop(next(iter(self._known)))

    def _drop(self, schema_id: str) -> None:
        if (known := self._known.pop(schema_id, None)) is not None:
            self._bytes -= _size(known)

    def _refuse_unusable(self, schema_id: str) -> None:
        refusal = self._known.get(schema_id)
        if isinstance(refusal, _Unusable):
            if self._clock.monotonic() < refusal.until:
                raise UnusableSchema(refusal.message)
            self._drop(schema_id)

    def _forget(self, schema_id: str, fetching: _Fetching) -> None:
        if self._fetching.get(schema_id) is fetching:
            del self._fetching[schema_id]


async def _compiled(schema_id: str, text: str) -> EventSchema:
    if len(text) < _COMPILED_IN_THREAD_FROM:
        return EventSchema.parse(schema_id, text)
    return await asyncio.to_thread(EventSchema.parse, schema_id, text)


def _size(known: EventSchema | _Unusable) -> int:
    return known.size if isinstance(known, EventSchema) else len(known.message)


# Decoding this many bytes blocks the event loop for some milliseconds. Their events are appended
# before the next ones are decoded, so they need little memory.
_AT_ONCE = 512 * 1024
# A UUID has 36 characters.
_LONGEST_UUID = 100


class Messages:
    """Decodes the events of one channel with their schemas.

    A message is `{"channel", "data": {"schema", "payload", "event"}}`, where
    `event` has the `replayId` as bytes. For a platform event, `event` also has the
    `EventUuid` and the `EventApiName`.
    """

    def __init__(self, path: str, schemas: Schemas) -> None:
        self._path = path
        self._schemas = schemas

    def can_decode(self, schema_ids: Iterable[str]) -> bool:
        """Return true if the cache has all these schemas."""
        return all(map(self._schemas.known, schema_ids))

    async def readers(self, schema_ids: Iterable[str]) -> "Readers":
        """Return the readers of events with these schemas.

        Raises `RetryLater` if a schema can't be fetched now, and `Stop` if the
        user needs permission to read it.
        """
        return {each: await self._schema(each) for each in schema_ids}

    def of(self, events: Sequence[ConsumerEvent], readers: "Readers") -> list[JsonObject | Unreadable]:
        """Return the message of each event in order, or `Unreadable` for an event that can't be decoded."""
        path = self._path
        messages: list[JsonObject | Unreadable] = []
        # This loop handles every event of a backlog, so it must be cheap.
        for consumed in events:
            event = consumed.event
            payload, schema_id, position = event.payload, event.schema_id, consumed.replay_id
            schema = readers[schema_id]
            try:
                data = {
                    "schema": schema_id,
                    "payload": schema.decode(payload),
                    "event": schema.about(event, position),
                }
            except UnreadableEvent as error:
                messages.append(_unreadable(consumed, error))
            else:
                messages.append({"channel": path, "data": data})
        return messages

    async def _schema(self, schema_id: str) -> "_Schema":
        # Salesforce would refuse any longer id.
        if not 0 < len(schema_id) <= LONGEST_SCHEMA_ID:
            return _missing(f"{schema_id[:LONGEST_SCHEMA_ID]!r} is not a schema id")
        try:
            schema = await self._schemas.get(schema_id)
        except UnusableSchema as error:
            return _missing(str(error))
        about = _about_change if schema.is_change else partial(_about_event, schema.name)
        return _Schema(decode=schema.decode, about=about, at_once=min(_AT_ONCE, schema.largest_datum))


@dataclass(frozen=True, slots=True)
class _Schema:
    """Reader of one schema's events: `decode` reads payloads, and `about` reads the values next to them.

    Up to `at_once` bytes of payloads are decoded without a pause. `at_once` is
    lower if one byte of a payload can stand for a whole object.
    """

    decode: Callable[[bytes], JsonObject]
    about: Callable[[ProducerEvent, bytes], JsonObject]
    at_once: int = _AT_ONCE


Readers = Mapping[str, _Schema]
"""Readers of events, by schema id."""


def parts(events: Sequence[ConsumerEvent], readers: Readers, size: int) -> Iterator[Sequence[ConsumerEvent]]:
    """Yield `events`, which have `size` bytes in total, in parts that are decoded without a pause."""
    at_once = min((reader.at_once for reader in readers.values()), default=_AT_ONCE)
    if size <= at_once:
        yield events
        return
    begin = taken = 0
    for number, consumed in enumerate(events):
        length = len(consumed.event.payload)
        if taken and taken + length > at_once:
            yield events[begin:number]
            begin, taken = number, 0
        taken += length
    yield events[begin:]


def _missing(reason: str) -> _Schema:
    def decode(_payload: bytes) -> JsonObject:
        raise UnreadableEvent(reason)

    return _Schema(decode=decode, about=_about_change)


def _about_change(_event: ProducerEvent, position: bytes) -> JsonObject:
    return {"replayId": position}


def _about_event(name: str, event: ProducerEvent, position: bytes) -> JsonObject:
    about: JsonObject = {"replayId": position, "EventApiName": name}
    if event.id:
        about["EventUuid"] = event.id
    return about


def _unreadable(consumed: ConsumerEvent, error: UnreadableEvent) -> Unreadable:
    event, position = consumed.event, consumed.replay_id
    return Unreadable(
        raw=event.payload,
        error=str(error),
        replay_id=ReplayId(position) if 0 < len(position) <= LONGEST_REPLAY_ID else None,
        schema_id=known_schema_id(event.schema_id),
        # Only this field carries a platform event's id, and the event id depends on it.
        event_uuid=event.id if len(event.id) <= _LONGEST_UUID else "",
    )
