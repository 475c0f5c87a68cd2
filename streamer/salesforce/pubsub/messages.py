"""Events of the Pub/Sub API in the shape of CometD's messages."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from streamer.errors import UnreadableEvent
from streamer.eventbus import ConsumerEvent, ProducerEvent
from streamer.events import JsonObject, ReplayId, Unreadable
from streamer.replay_ids import LONGEST_BYTES
from streamer.salesforce.pubsub.avro import UnusableSchema
from streamer.salesforce.pubsub.schemas import Schemas
from streamer.schema_ids import LONGEST_SCHEMA_ID, known_schema_id

# Decoding so many bytes holds the event loop up for some milliseconds.
_BYTES_AT_A_TIME = 256 * 1024

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

    async def of(
        self, events: Sequence[ConsumerEvent], schema_ids: Iterable[str]
    ) -> list[JsonObject | Unreadable]:
        """Return the message of each event in order; an event that can't be decoded is `Unreadable`.

        `schema_ids` are those of the events. Raises `RetryLater` while a schema
        can't be fetched, and `Stop` when an operator must allow us to read it.
        """
        schemas = {each: await self._schema(each) for each in schema_ids}
        path = self._path
        messages: list[JsonObject | Unreadable] = []
        size = 0
        # Every event of a backlog passes this loop, so it must be cheap.
        for consumed in events:
            event = consumed.event
            payload, schema_id, position = event.payload, event.schema_id, consumed.replay_id
            schema = schemas[schema_id]
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
            size += len(payload)
            if size > _BYTES_AT_A_TIME:
                size = 0
                await asyncio.sleep(0)
        return messages

    async def _schema(self, schema_id: str) -> "_Schema":
        # A fetch of anything much longer can only fail.
        if not 0 < len(schema_id) <= LONGEST_SCHEMA_ID:
            return _missing(f"{schema_id[:LONGEST_SCHEMA_ID]!r} is no id of a schema")
        try:
            schema = await self._schemas.get(schema_id)
        except UnusableSchema as error:
            return _missing(str(error))
        about = _about_change if schema.is_change else partial(_about_event, schema.name)
        return _Schema(decode=schema.decode, about=about)


@dataclass(frozen=True, slots=True)
class _Schema:
    """Reader of the events of one schema: of their payload, and of what stands beside it."""

    decode: Callable[[bytes], JsonObject]
    about: Callable[[ProducerEvent, bytes], JsonObject]


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
