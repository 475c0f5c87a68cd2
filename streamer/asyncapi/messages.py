"""Messages of an AsyncAPI document: values, headers and keys of the records in the topics."""

import re
from collections.abc import Mapping
from typing import Literal

from streamer.asyncapi.interface import BINDING
from streamer.cloud_events import JSON, STRUCTURED
from streamer.events import JsonObject
from streamer.log.kafka.schemas.record_types import EnvelopeForm
from streamer.log.schemas import data_of_types, definitions, reference

SCHEMAS = "#/components/schemas/"
"""Prefix of the references to schemas."""

RECORD_MESSAGES = {
    "Receipt": ("ReceiptHeaders", "the key of the event"),
    "DeadLetter": ("DeadLetterHeaders", "the id of the dead letter, a # and the number of the part"),
    "ContinuityRecord": ("RecordHeaders", "the id of the hole or of the snapshot"),
    "AuditRecord": ("RecordHeaders", "empty"),
}
"""Each message that is not an event, with its headers and the meaning of its key."""

_OF_KINDS: Mapping[str, tuple[str, ...]] = {
    "event": ("PlatformEvent",),
    "topic": ("PushTopicNotification",),
    "generic": ("GenericEvent",),
    "outbound": ("OutboundMessage",),
}
_KEYS = {
    "PlatformEvent": "the value of the channel's key field, or the id of the event",
    "GenericEvent": "the value of the channel's key field, or the id of the event",
    "PushTopicNotification": "the id of the record, or the id of the event if the event names no record",
}
STATE_MESSAGES: Mapping[EnvelopeForm, str] = {
    "streamer": "RecordState",
    "flat": "FlatState",
    "debezium": "StateChange",
}
"""Message with the state of a record, by the envelope of the states."""
_KEY = "the id of the record"
TOMBSTONE = "Tombstone"
STATE_TOMBSTONE = "StateTombstone"
_MODES = {
    "binary": (JSON, "EventHeaders", "ce_type"),
    "structured": (STRUCTURED, "StructuredHeaders", "type"),
}

Mode = Literal["binary", "structured"]


def messages_of(kind: str, *, tombstones: bool) -> tuple[str, ...]:
    """Return the names of the messages in a topic with events of this kind, such as `cdc`."""
    if kind in _OF_KINDS:
        return _OF_KINDS[kind]
    every = (name for names in data_of_types().values() for name in names)
    changes = dict.fromkeys(name for name in every if name.startswith("Change"))
    return (*changes, TOMBSTONE) if tombstones else tuple(changes)


def event_message(name: str, mode: Mode) -> JsonObject:
    """Return the message of events whose data match the definition `name`."""
    content_type, headers, type_header = _MODES[mode]
    payload = _schema(name)
    if mode == "structured":
        payload = {"allOf": [_schema("CloudEvent"), {"properties": {"data": payload}}]}
    pattern = {"pattern": _pattern(name)}
    return _message_of(
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
    """Return the message of records that match the definition `name`."""
    headers, key = RECORD_MESSAGES[name]
    return _message_of(
        name,
        JSON.decode(),
        headers=_schema(headers),
        payload=_schema(name),
        key=key,
    )


def tombstone_message() -> JsonObject:
    """Return the message of a record that says that a Salesforce record was deleted."""
    return {
        "name": TOMBSTONE,
        "title": TOMBSTONE,
        "summary": "A record without a value and without headers, after the event of a deletion.",
        "payload": {"type": "null"},
        "bindings": {"kafka": {"key": {"type": "string", "description": _KEY}, **BINDING}},
    }


def state_message(name: str) -> JsonObject:
    """Return the message of the states of records in the envelope of the definition `name`."""
    headers, payload = _schema("StateHeaders"), _schema(name)
    return _message_of(name, JSON.decode(), headers=headers, payload=payload, key=_KEY)


def state_tombstone_message() -> JsonObject:
    """Return the message of a state topic that says that a record was deleted."""
    summary = "A record without a value: the Salesforce record was deleted."
    title = {"name": STATE_TOMBSTONE, "title": "State Tombstone", "summary": summary}
    return {**tombstone_message(), **title, "headers": _schema("StateHeaders")}


def _schema(name: str) -> JsonObject:
    return reference(name, within=SCHEMAS)


def _message_of(
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
    """Return the pattern of the event types whose data can match this definition."""
    found = [pattern for pattern, names in data_of_types().items() if name in names]
    return found[0] if len(found) == 1 else "|".join(f"({pattern})" for pattern in found)
