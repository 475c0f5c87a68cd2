"""Parts that the schemas are built of.

Only keywords that JSON Schema 2020-12 and AsyncAPI 3.0 share are used, so that
one definition serves both. Objects are open: a newer Streamer can add keys.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from streamer.events import JsonObject

DEFINITIONS = "#/$defs/"
"""Beginning of the references between definitions."""

EVENT_TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"
"""Pattern of the times in events: RFC 3339 in UTC, with milliseconds."""


def text(description: str, **rules: object) -> JsonObject:
    """Return the schema of a text."""
    return {"type": "string", "description": description, **rules}


def event_time(description: str) -> JsonObject:
    """Return the schema of a time in an event."""
    return text(description, format="date-time", pattern=EVENT_TIME)


def epoch_seconds(description: str) -> JsonObject:
    """Return the schema of a time in seconds since 1970."""
    return {"type": "number", "description": f"{description}, in seconds since 1970"}


def count(description: str) -> JsonObject:
    """Return the schema of a whole number that is not negative."""
    return {"type": "integer", "minimum": 0, "description": description}


def texts(description: str) -> JsonObject:
    """Return the schema of a list of texts."""
    return {"type": "array", "items": {"type": "string"}, "description": description}


def or_null(schema: JsonObject) -> JsonObject:
    """Return the schema of what `schema` describes, and of null."""
    return {**schema, "type": [schema["type"], "null"]}


def any_object(description: str) -> JsonObject:
    """Return the schema of an object with any members."""
    return {"type": "object", "description": description}


def the_object(
    description: str,
    needed: Mapping[str, JsonObject],
    optional: Mapping[str, JsonObject] | None = None,
    **rules: object,
) -> JsonObject:
    """Return the schema of an object that has all keys of `needed`, and can have those of `optional`."""
    return {
        "type": "object",
        "description": description,
        "properties": {**needed, **(optional or {})},
        "required": list(needed),
        **rules,
    }


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


def constant(value: int | str, description: str) -> JsonObject:
    """Return the schema of one value."""
    kind = "integer" if isinstance(value, int) else "string"
    return {"type": kind, "const": value, "description": description}
