"""Checks of records by the JSON Schemas that Streamer publishes.

The published schemas are open, so that a newer Streamer can add keys. Here, an object
can have only the keys in its schema, because a renamed key is a mistake too.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from streamer.events import JsonObject
from streamer.log.schemas import definitions, definitions_of, reference

RECORDS = {
    "receipts": "Receipt",
    "dead-letters": "DeadLetter",
    "continuity": "ContinuityRecord",
    "audit": "AuditRecord",
}
"""The definitions of records beside events, by the last part of their topics' names."""
# Shapes are few, and values of one shape are judged alike. Checking is slow.
_MOST_OF_A_SHAPE = 3
_DEEP = 3


def closed(schema: Any) -> Any:
    """Return `schema`, in which no object has other keys than it names."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    whole = {key: closed(each) for key, each in schema.items()}
    # A part that only refines another has no type.
    if "properties" in whole and whole.get("type") == "object":
        whole["additionalProperties"] = False
    return whole


@cache
def _validator(*names: str) -> Any:
    found = [reference(name) for name in names]
    whole = {"$defs": definitions(), **(found[0] if len(found) == 1 else {"oneOf": found})}
    return Draft202012Validator(closed(whole))


def mistakes(value: Any, *names: str) -> list[str]:
    """Return where `value` breaks the definition, or all of several if it fits none of them."""
    found = _validator(*names).iter_errors(value)
    return [f"{'/'.join(map(str, each.absolute_path))}: {each.message[:400]}" for each in found]


def event_mistakes(event: Mapping[str, Any]) -> list[str]:
    """Return the mistakes in an event's `data` by the schema of its `type`."""
    try:
        names = definitions_of(event["type"])
    except LookupError:
        return [f"no schema is about the type {event['type']!r}"]
    return mistakes(event["data"], *names)


class Checked:
    """Values that are checked once they have a new shape, and what is wrong with them."""

    def __init__(self) -> None:
        self.mistakes: list[str] = []
        self.counts: dict[str, int] = {}
        self._shapes: dict[Any, int] = {}

    def record(self, name: str, value: JsonObject) -> None:
        """Check a record that keeps the definition `name`."""
        if self._is_new(name, value):
            self.mistakes += [f"{name} {each} in {value}" for each in mistakes(value, name)]

    def event(self, event: Mapping[str, Any]) -> None:
        """Check an event, which needs only `type` and `data`."""
        if self._is_new(event["type"], event["data"]):
            self.mistakes += [f"{event['type']} {each} in {event['data']}" for each in event_mistakes(event)]

    def _is_new(self, name: str, value: Any) -> bool:
        shape = (name, _shape(value))
        self.counts[name] = self.counts.get(name, 0) + 1
        self._shapes[shape] = self._shapes.get(shape, 0) + 1
        return self._shapes[shape] <= _MOST_OF_A_SHAPE


def _shape(value: Any, depth: int = _DEEP) -> Any:
    if isinstance(value, dict) and depth:
        return tuple((key, _shape(each, depth - 1)) for key, each in value.items())
    return type(value)


def all_of(events: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the mistakes in `events`, which need only `type` and `data`."""
    checked = Checked()
    for event in events:
        checked.event(event)
    return checked.mistakes
