"""Events of the Pub/Sub API, made from the bus's messages."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from streamer.eventbus import ConsumerEvent, ProducerEvent
from streamer.sandbox.org.bus import StoredMessage
from streamer.sandbox.org.definitions.avro import Avro
from streamer.sandbox.org.definitions.event_schemas import EventSchemas
from streamer.sandbox.pubsub.avro.datum import NotEncodable, encoder
from streamer.sandbox.pubsub.avro.field_bitmaps import BitmapEncoder
from streamer.sandbox.pubsub.replay_ids import ReplayIds

GARBAGE = b"\xff" * 32
"""Payload that no schema can decode: a number without an end."""

_HEADER = "ChangeEventHeader"
_MOST_KEPT = 1_000


class Events:
    """Encodes messages of the bus.

    An unreadable message, or a message that does not fit its schema, becomes an event
    whose payload can't be decoded. A message is encoded each time it is sent, because
    this is cheaper than keeping the bytes of a long backlog.
    """

    def __init__(self, schemas: EventSchemas, replay_ids: ReplayIds) -> None:
        self._schemas = schemas
        self._replay_ids = replay_ids
        self._formats: dict[str, _Format] = {}

    def event(self, message: StoredMessage, data: bytes, *, default_schema: str) -> ConsumerEvent:
        """Return the event of a message; `data` is the part of its data that the user can see.

        `default_schema` is the schema id for an event whose own schema id can't be
        read.
        """
        found = _parsed(data)
        schema_id = found.get("schema")
        schema_id = schema_id if isinstance(schema_id, str) else default_schema
        try:
            payload = self._format(schema_id).encode(found["payload"])
        except (NotEncodable, KeyError):
            payload = GARBAGE
        event = ProducerEvent(id=_event_id(found, message), schema_id=schema_id, payload=payload)
        return ConsumerEvent(event=event, replay_id=self._replay_ids.encode(message.replay_id))

    def _format(self, schema_id: str) -> "_Format":
        """Return the encoder of a schema's events; raises `NotEncodable` for an unknown id."""
        known = self._formats.get(schema_id)
        if known is None:
            schema = self._schemas.get(schema_id)
            if schema is None:
                raise NotEncodable("the message has no schema")
            if len(self._formats) >= _MOST_KEPT:
                self._formats.clear()
            known = self._formats[schema_id] = _Format(schema)
        return known


class _Format:
    """Encoder of the payloads of one schema."""

    def __init__(self, schema: Avro) -> None:
        self._encode = encoder(schema)
        self._is_change = schema["fields"][0]["name"] == _HEADER
        self._bitmaps = BitmapEncoder(schema)
        self._texts = frozenset(
            field["name"] for field in schema["fields"] if field["type"] == ["null", "string"]
        )

    def encode(self, payload: Any) -> bytes:
        """Return the bytes of a payload in CometD's form; raises `NotEncodable` for an unfit payload."""
        if not self._is_change:
            return self._encode(payload)
        try:
            filled = {**payload, _HEADER: self._header(payload)}
        except (AttributeError, KeyError, TypeError) as error:
            raise NotEncodable("the header does not fit the schema") from error
        return self._encode(filled)

    def _header(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        header = payload[_HEADER]
        is_update = header["changeType"] == "UPDATE"
        return {
            **header,
            "nulledFields": self._bitmaps.of(_nulled(payload)) if is_update else [],
            "diffFields": self._bitmaps.of(self._diffs(payload)) if is_update else [],
            "changedFields": self._bitmaps.of(header.get("changedFields", ())),
        }

    def _diffs(self, payload: Mapping[str, Any]) -> Iterator[str]:
        return (name for name, value in payload.items() if isinstance(value, dict) and name in self._texts)


def _nulled(payload: Mapping[str, Any]) -> Iterator[str]:
    for name, value in payload.items():
        if value is None:
            yield name
        elif isinstance(value, dict) and name != _HEADER:
            yield from (f"{name}.{part}" for part, each in value.items() if each is None)


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _event_id(found: Mapping[str, Any], message: StoredMessage) -> str:
    """Return the EventUuid of a platform event; for another event, return an id that never changes."""
    event, payload = found.get("event"), found.get("payload")
    event_uuid = event.get("EventUuid") if isinstance(event, dict) else None
    if isinstance(event_uuid, str):
        return event_uuid
    header = payload.get(_HEADER) if isinstance(payload, dict) else None
    if not isinstance(header, dict):
        return _uuid(f"{message.published_at}:{message.sequence}")
    records = header.get("recordIds")
    record_id = records[0] if isinstance(records, list) and records else ""
    return _uuid(f"{header.get('transactionKey')}:{header.get('sequenceNumber')}:{record_id}")


def _uuid(name: str) -> str:
    """Return the UUID of a name; `uuid.uuid5` takes three times as long."""
    digest = hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-a{digest[17:20]}-{digest[20:32]}"
