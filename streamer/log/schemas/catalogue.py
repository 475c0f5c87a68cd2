"""All schemas by name; the definitions are in the JSON files of this folder.

A schema contains every definition that it refers to.
"""

import importlib.resources
import re
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from functools import cache
from typing import Any

import orjson

from streamer.events import JsonObject
from streamer.log.records import VERSION

DEFINITIONS = "#/$defs/"
"""Prefix of a reference from one definition to another."""

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_FILES = ("event_data.json", "cloud_events.json", "records.json")
_EXTENDS = "extends"


class SchemaName(StrEnum):
    """Name of a schema, which says what records the schema describes."""

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
    STATES = "states"


_ROOTS = {
    SchemaName.EVENTS: "EventData",
    SchemaName.CHANGE_EVENTS: "ChangeEvent",
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
    SchemaName.STATES: "RecordState",
}


@cache
def definitions() -> JsonObject:
    """Return all definitions by name; definitions refer to each other by `#/$defs/NAME`."""
    folder = importlib.resources.files(__package__)
    read: dict[str, JsonObject] = {}
    for file in _FILES:
        read |= orjson.loads(folder.joinpath(file).read_bytes())
    return {name: _extended(name, read) for name in read if not name.startswith("_")}


def _extended(name: str, read: Mapping[str, JsonObject]) -> JsonObject:
    """Return a definition merged with the definition that it extends."""
    own = dict(read[name])
    if _EXTENDS not in own:
        return own
    base = _extended(own.pop(_EXTENDS), read)
    return {
        **base,
        **own,
        "properties": {**base["properties"], **own["properties"]},
        "required": [*base["required"], *own.get("required", ())],
    }


@cache
def data_of_types() -> Mapping[str, tuple[str, ...]]:
    """Return the names of the definitions of events' data by type pattern; a type matches one pattern."""
    kinds = [each["properties"] for each in definitions()["CloudEvent"]["oneOf"]]
    return {kind["type"]["pattern"]: tuple(references(kind["data"])) for kind in kinds}


def definitions_of(event_type: str) -> tuple[str, ...]:
    """Return the names of the definitions for this event type; its data matches one of the definitions.

    Raises `LookupError` for a type that Streamer does not produce.
    """
    for pattern, names in data_of_types().items():
        if re.match(pattern, event_type):
            return names
    raise LookupError(event_type)


def schema(name: SchemaName) -> JsonObject:
    """Return the JSON Schema (2020-12) `name` together with every definition that it refers to."""
    every = definitions()
    root, *needed = reachable([_ROOTS[name]])
    identity = f"urn:streamer:schema:{name}:{VERSION}"
    whole = {"$schema": _DIALECT, "$id": identity, "title": root, **every[root]}
    return {**whole, "$defs": {each: every[each] for each in needed}} if needed else whole


def reachable(names: Iterable[str]) -> list[str]:
    """Return `names`, and the names of all definitions that they refer to directly or indirectly."""
    every = definitions()
    found: dict[str, None] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop(0)
        if name not in found:
            found[name] = None
            waiting += references(every[name])
    return list(found)


def reference(name: str, *, within: str = DEFINITIONS) -> JsonObject:
    """Return the schema that refers to the definition `name` below `within`."""
    return {"$ref": f"{within}{name}"}


def references(part: Any, *, within: str = DEFINITIONS) -> Iterator[str]:
    """Yield the names of the definitions below `within` to which the schema `part` refers."""
    if isinstance(part, dict):
        target = part.get("$ref")
        if isinstance(target, str) and target.startswith(within):
            yield target.removeprefix(within)
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from references(each, within=within)
