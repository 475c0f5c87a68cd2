"""All schemas by name, each whole by itself, from the definitions in the JSON files beside this one."""

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
"""Beginning of the references between definitions."""

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_FILES = ("event_data.json", "cloud_events.json", "records.json")
_EXTENDS = "extends"


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
}


@cache
def definitions() -> JsonObject:
    """Return all definitions by name; they refer to each other by `#/$defs/NAME`."""
    folder = importlib.resources.files(__package__)
    read: dict[str, JsonObject] = {}
    for file in _FILES:
        read |= orjson.loads(folder.joinpath(file).read_bytes())
    return {name: _extended(name, read) for name in read if not name.startswith("_")}


def _extended(name: str, read: Mapping[str, JsonObject]) -> JsonObject:
    """Return a definition as the files have it, with all of the one that it extends."""
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
    """Return the definitions of the data of an event, by patterns of its type; exactly one matches."""
    kinds = [each["properties"] for each in definitions()["CloudEvent"]["oneOf"]]
    return {kind["type"]["pattern"]: tuple(references(kind["data"])) for kind in kinds}


def definitions_of(event_type: str) -> tuple[str, ...]:
    """Return the definitions of the data of an event of this type; any of them can hold.

    Raises `LookupError` for a type that is not one of ours.
    """
    for pattern, names in data_of_types().items():
        if re.match(pattern, event_type):
            return names
    raise LookupError(event_type)


def schema(name: SchemaName) -> JsonObject:
    """Return the JSON Schema (2020-12) of that name, with the definitions that it refers to."""
    every = definitions()
    root, *needed = reachable([_ROOTS[name]])
    identity = f"urn:streamer:schema:{name}:{VERSION}"
    whole = {"$schema": _DIALECT, "$id": identity, "title": root, **every[root]}
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


def reference(name: str, *, within: str = DEFINITIONS) -> JsonObject:
    """Return the schema that refers to the definition `name`, among those at `within`."""
    return {"$ref": f"{within}{name}"}


def references(part: Any, *, within: str = DEFINITIONS) -> Iterator[str]:
    """Yield the names of the definitions at `within` that a part of a document refers to."""
    if isinstance(part, dict):
        target = part.get("$ref")
        if isinstance(target, str) and target.startswith(within):
            yield target.removeprefix(within)
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from references(each, within=within)
