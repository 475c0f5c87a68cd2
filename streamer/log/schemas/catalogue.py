"""All schemas by name, each whole by itself."""

from collections.abc import Iterable
from enum import StrEnum
from functools import cache

from streamer.events import JsonObject
from streamer.log.records import VERSION
from streamer.log.schemas.changes import changes, reference, references
from streamer.log.schemas.messages import cloud_events, messages
from streamer.log.schemas.records import record_headers, records

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_CHANGES = "ChangeEvent"
_EVENTS = "EventData"


class SchemaName(StrEnum):
    """Name of a schema, by what it describes."""

    EVENTS = "events"
    """The value of a record in any event topic, in binary mode."""
    CHANGE_EVENTS = "change-events"
    PLATFORM_EVENTS = "platform-events"
    PUSH_TOPICS = "push-topics"
    GENERIC_EVENTS = "generic-events"
    OUTBOUND_MESSAGES = "outbound-messages"
    CLOUD_EVENTS = "cloud-events"
    """The value of a record in any event topic, in structured mode."""
    EVENT_HEADERS = "event-headers"
    RECEIPTS = "receipts"
    DEAD_LETTERS = "dead-letters"
    CONTINUITY = "continuity"
    AUDIT = "audit"


_ROOTS = {
    SchemaName.EVENTS: _EVENTS,
    SchemaName.CHANGE_EVENTS: _CHANGES,
    SchemaName.PLATFORM_EVENTS: "PlatformEvent",
    SchemaName.PUSH_TOPICS: "PushTopicNotification",
    SchemaName.GENERIC_EVENTS: "GenericEvent",
    SchemaName.OUTBOUND_MESSAGES: "OutboundMessage",
    SchemaName.CLOUD_EVENTS: "CloudEvent",
    SchemaName.EVENT_HEADERS: "EventHeaders",
    SchemaName.RECEIPTS: "Receipt",
    SchemaName.DEAD_LETTERS: "DeadLetter",
    SchemaName.CONTINUITY: "ContinuityRecord",
    SchemaName.AUDIT: "AuditRecord",
}


@cache
def definitions() -> JsonObject:
    """Return all definitions by name; they refer to each other by `#/$defs/NAME`."""
    of_changes, of_messages = changes(), messages()
    kinds = [name for name in of_changes if name.startswith("Change")]
    return {
        # Exactly one kind holds for a change; of the others, one can fit several.
        _CHANGES: {
            "description": "The data of a change event.",
            "oneOf": [reference(name) for name in kinds],
        },
        _EVENTS: {
            "description": "The data of an event; its type says which definition holds.",
            "anyOf": [reference(name) for name in (_CHANGES, *of_messages)],
        },
        **of_changes,
        **of_messages,
        **cloud_events(),
        **records(),
        **record_headers(),
    }


def schema(name: SchemaName) -> JsonObject:
    """Return the JSON Schema (2020-12) of that name."""
    return schema_of(_ROOTS[name], identity=name)


def schema_of(root: str, *, identity: str = "") -> JsonObject:
    """Return the JSON Schema (2020-12) of the definition `root`, with those that it refers to."""
    every = definitions()
    needed = reachable([root])[1:]
    whole: JsonObject = {"$schema": _DIALECT}
    if identity:
        whole["$id"] = f"urn:streamer:schema:{identity}:{VERSION}"
    whole |= {"title": root, **every[root]}
    return {**whole, "$defs": {each: every[each] for each in needed}} if needed else whole


def reachable(names: Iterable[str]) -> list[str]:
    """Return `names`, and the definitions that these refer to, each once."""
    every = definitions()
    found: dict[str, None] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop(0)
        if name not in found:
            found[name] = None
            waiting += references(every[name])
    return list(found)
