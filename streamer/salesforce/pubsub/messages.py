"""Events of the Pub/Sub API in the shape of CometD's messages."""

import asyncio
from collections.abc import Iterable, Sequence

from streamer.errors import UnreadableEvent
from streamer.eventbus import ConsumerEvent
from streamer.events import JsonObject, ReplayId, Unreadable
from streamer.salesforce.pubsub.avro import EventSchema, UnusableSchema
from streamer.salesforce.pubsub.schemas import Schemas

# Decoding so many bytes holds the event loop up for some milliseconds.
_BYTES_AT_A_TIME = 256 * 1024

# Ids have 22 characters; a fetch of anything much longer can only fail.
_LONGEST_ID = 100


class Messages:
    """Decodes the events of one channel with their schemas.

    A message is `{"channel", "data": {"schema", "payload", "event"}}`, where
    `event` has the `replayId` as bytes, and on a platform event its `EventUuid`
    and `EventApiName`.
    """

    def __init__(self, path: str, schemas: Schemas) -> None:
        self._path = path
        self._schemas = schemas

    def can_decode(self, events: Sequence[ConsumerEvent]) -> bool:
        """Return true if no schema of `events` must be fetched."""
        return all(self._schemas.known(each) for each in {consumed.event.schema_id for consumed in events})

    async def of(self, events: Sequence[ConsumerEvent]) -> list[JsonObject | Unreadable]:
        """Return the message of each event in order; an event that can't be decoded is `Unreadable`.

        Raises `RetryLater` while a schema can't be fetched, and
        `SubscriptionRefused` when the user is not allowed to read it.
        """
        schemas = await self._schemas_of({consumed.event.schema_id for consumed in events})
        messages: list[JsonObject | Unreadable] = []
        size = 0
        for consumed in events:
            messages.append(self._message(consumed, schemas))
            size += len(consumed.event.payload)
            if size > _BYTES_AT_A_TIME:
                size = 0
                await asyncio.sleep(0)
        return messages

    async def _schemas_of(self, ids: Iterable[str]) -> dict[str, EventSchema | str]:
        """Return each schema by its id, or the reason for which there is none."""
        schemas: dict[str, EventSchema | str] = {}
        for schema_id in ids:
            if not 0 < len(schema_id) <= _LONGEST_ID:
                schemas[schema_id] = f"{schema_id[:_LONGEST_ID]!r} is no id of a schema"
                continue
            try:
                schemas[schema_id] = await self._schemas.get(schema_id)
            except UnusableSchema as error:
                schemas[schema_id] = str(error)
        return schemas

    def _message(
        self, consumed: ConsumerEvent, schemas: dict[str, EventSchema | str]
    ) -> JsonObject | Unreadable:
        event, position = consumed.event, consumed.replay_id
        schema = schemas[event.schema_id]
        if isinstance(schema, str):
            return _unreadable(consumed, schema)
        try:
            payload = schema.decode(event.payload)
        except UnreadableEvent as error:
            return _unreadable(consumed, str(error))
        about: JsonObject = {"replayId": position}
        if not schema.is_change:
            about["EventApiName"] = schema.name
            if event.id:
                about["EventUuid"] = event.id
        return {
            "channel": self._path,
            "data": {"schema": event.schema_id, "payload": payload, "event": about},
        }


def _unreadable(consumed: ConsumerEvent, error: str) -> Unreadable:
    position = ReplayId(consumed.replay_id) if consumed.replay_id else None
    return Unreadable(raw=consumed.event.payload, error=error, replay_id=position)
