"""Messages of the topics: headers, payloads, media types and keys."""

import re
from collections.abc import Mapping
from typing import Literal

from streamer.cloud_events import JSON, STRUCTURED
from streamer.events import JsonObject
from streamer.log.schemas import DATA_OF_TYPES, definitions, reference

SCHEMAS = "#/components/schemas/"
"""Beginning of the references to schemas."""

BINDING = {"bindingVersion": "0.5.0"}
"""Version of the Kafka bindings."""

RECORD_MESSAGES = {
    "Receipt": ("ReceiptHeaders", "the key of the event"),
    "DeadLetter": ("DeadLetterHeaders", "the id of the letter, # and the number of the part"),
    "ContinuityRecord": ("RecordHeaders", "the id of the hole or the snapshot"),
    "AuditRecord": ("RecordHeaders", "empty"),
}
"""Headers, and the meaning of the key, of the messages beside events."""

_OF_KINDS: Mapping[str, tuple[str, ...]] = {
    "event": ("PlatformEvent",),
    "topic": ("PushTopicNotification",),
    "generic": ("GenericEvent",),
    "outbound": ("OutboundMessage",),
}
_KEYS = {
    "PlatformEvent": "the value of the channel's key field, or the id of the event",
    "GenericEvent": "the value of the channel's key field, or the id of the event",
    "PushTopicNotification": "the id of the record, or without one the id of the event",
}
_KEY = "the id of the record"
_MODES = {
    "binary": (JSON, "EventHeaders", "ce_type"),
    "structured": (STRUCTURED, "StructuredHeaders", "type"),
}

Mode = Literal["binary", "structured"]


def messages_of(kind: str) -> tuple[str, ...]:
    """Return the names of the messages in a topic of events of a kind, such as `cdc`."""
    if kind in _OF_KINDS:
        return _OF_KINDS[kind]
    every = (name for names in DATA_OF_TYPES.values() for name in names)
    return tuple(dict.fromkeys(name for name in every if name.startswith("Change")))


def event_message(name: str, mode: Mode) -> JsonObject:
    """Return the message of the events whose data keep the definition `name`."""
    content_type, headers, type_header = _MODES[mode]
    payload = _schema(name)
    if mode == "structured":
        payload = {"allOf": [_schema("CloudEvent"), {"properties": {"data": payload}}]}
    pattern = {"pattern": _pattern(name)}
    return _message(
        name,
        content_type.decode(),
        headers={
            "type": "object",
            "allOf": [_schema(headers), {"properties": {type_header: pattern}}],
        },
        payload=payload,
        key=_KEYS.get(name, _KEY),
    )


def record_message(name: str) -> JsonObject:
    """Return the message of the records that keep the definition `name`."""
    headers, key = RECORD_MESSAGES[name]
    return _message(
        name,
        JSON.decode(),
        headers=_schema(headers),
        payload=_schema(name),
        key=key,
    )


def _schema(name: str) -> JsonObject:
    return reference(name, within=SCHEMAS)


def _message(
    name: str, content_type: str, *, headers: JsonObject, payload: JsonObject, key: str
) -> JsonObject:
    return {
        "name": name,
        "title": re.sub(r"(?<!^)(?=[A-Z])", " ", name),
        "summary": definitions()[name]["description"],
        "contentType": content_type,
        "headers": headers,
        "payload": payload,
        "bindings": {"kafka": {"key": {"type": "string", "description": key}, **BINDING}},
    }


def _pattern(name: str) -> str:
    """Return the pattern of the types whose events can have data of this definition."""
    found = [pattern for pattern, names in DATA_OF_TYPES.items() if name in names]
    return found[0] if len(found) == 1 else "|".join(f"({pattern})" for pattern in found)
