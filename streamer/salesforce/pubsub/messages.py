"""Events of the Pub/Sub API in the shape of CometD's messages."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from streamer.errors import UnreadableEvent
from streamer.eventbus import ConsumerEvent, ProducerEvent
from streamer.events import JsonObject, ReplayId, Unreadable
from streamer.replay_ids import LONGEST_BYTES
from streamer.salesforce.pubsub.avro import UnusableSchema
from streamer.salesforce.pubsub.schemas import Schemas
from streamer.schema_ids import LONGEST_SCHEMA_ID, known_schema_id

# Decoding so many bytes holds the event loop up for some milliseconds. Their events are appended
# before the next ones are decoded, so they take little memory.
_AT_ONCE = 512 * 1024

# A UUID has 36 characters.
_LONGEST_UUID = 100


class Messages:
    """Decodes the events of one channel with their schemas.

    A message is `{"channel", "data": {"schema", "payload", "event"}}`, where
    `event` has the `replayId` as bytes, and on a platform event its `EventUuid`
    and `EventApiName`.
    """

    def __init__(self, path: str, schemas: Schemas) -> None:
        self._path = path
        self._schemas = schemas

    def can_decode(self, schema_ids: Iterable[str]) -> bool:
        """Return true if none of the schemas must be fetched."""
        return all(map(self._schemas.known, schema_ids))

    async def readers(self, schema_ids: Iterable[str]) -> "Readers":
        """Return the readers of events with these schemas.

        Raises `RetryLater` while a schema can't be fetched, and `Stop` when an
        operator must allow us to read it.
        """
        return {each: await self._schema(each) for each in schema_ids}

    def of(self, events: Sequence[ConsumerEvent], readers: "Readers") -> list[JsonObject | Unreadable]:
        """Return the message of each event in order; an event that can't be decoded is `Unreadable`."""
        path = self._path
        messages: list[JsonObject | Unreadable] = []
        # Every event of a backlog passes this loop, so it must be cheap.
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
        # A fetch of anything much longer can only fail.
        if not 0 < len(schema_id) <= LONGEST_SCHEMA_ID:
            return _missing(f"{schema_id[:LONGEST_SCHEMA_ID]!r} is not an id of a schema")
        try:
            schema = await self._schemas.get(schema_id)
        except UnusableSchema as error:
            return _missing(str(error))
        about = _about_change if schema.is_change else partial(_about_event, schema.name)
        return _Schema(decode=schema.decode, about=about, at_once=min(_AT_ONCE, schema.largest_datum))


@dataclass(frozen=True, slots=True)
class _Schema:
    """Reader of the events of one schema: of their payload, and of what stands beside it.

    Payloads of `at_once` bytes are decoded in one go: fewer where a byte stands for a whole object.
    """

    decode: Callable[[bytes], JsonObject]
    about: Callable[[ProducerEvent, bytes], JsonObject]
    at_once: int = _AT_ONCE


Readers = Mapping[str, _Schema]
"""Readers of events by the ids of their schemas."""


def parts(events: Sequence[ConsumerEvent], readers: Readers, size: int) -> Iterator[Sequence[ConsumerEvent]]:
    """Yield `events`, of `size` bytes in all, in parts that are decoded in one go."""
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
        replay_id=ReplayId(position) if 0 < len(position) <= LONGEST_BYTES else None,
        schema_id=known_schema_id(event.schema_id),
        # A platform event has its id here alone, and is another event without it.
        event_uuid=event.id if len(event.id) <= _LONGEST_UUID else "",
    )
