"""Bodies of platform events: the fields that a publisher gives, checked and completed.

Unlike a record's field, an event's text field keeps an empty text (Platform
Events guide).
"""

from collections.abc import Mapping
from typing import Any

from streamer.sandbox.org.definitions.constraints import check_required, check_value
from streamer.sandbox.org.field_values import stored_value
from streamer.sandbox.org.refusals import Refused
from streamer.sandbox.org.schema import Field, PlatformEvent

_TEXTS = frozenset({"string", "textarea"})


def declared_body(event: PlatformEvent, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return every field of a declared event, null where nothing is given.

    Raises `Refused` for fields that it does not have, for values that they
    don't take, and for required ones without a value.
    """
    values = dict.fromkeys(event.fields)
    for name, value in given.items():
        field = event.field(name)
        values[field.name] = _value(field, value)
    check_required(event.fields.values(), values)
    return values


def open_body(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an event that nothing declares; raises `Refused` for lists and objects."""
    for name, value in given.items():
        if not (value is None or isinstance(value, str | int | float)):
            raise Refused("JSON_PARSER_ERROR", f"{name} takes text, a number or a checkbox", fields=[name])
    return dict(given)


def _value(field: Field, given: Any) -> Any:
    if given == "" and field.type in _TEXTS:
        return given
    value = stored_value(field, given)
    check_value(field, value)
    return value
