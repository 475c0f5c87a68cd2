"""Bodies of platform events: the fields that a publisher gives, checked and completed.

Unlike a record's field, an event's text field keeps an empty text (Platform
Events guide).
"""

import re
from collections.abc import Mapping
from typing import Any

from streamer.sandbox.org.definitions.constraints import check_required, check_value
from streamer.sandbox.org.field_values import stored_value
from streamer.sandbox.org.refusals import Refused
from streamer.sandbox.org.schema import READ_ONLY, Field, PlatformEvent

_TEXTS = frozenset({"string", "textarea"})
_FIELD_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,79}")


def declared_body(event: PlatformEvent, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return every field of a declared event; a missing field is null.

    Raises `Refused` for unknown fields, for unfit values, and for required fields
    without a value.
    """
    values = dict.fromkeys(event.fields)
    for name, value in given.items():
        field = event.field(name)
        values[field.name] = _value(field, value)
    check_required(event.fields.values(), values)
    return values


def open_body(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an undeclared event.

    Raises `Refused` for lists and objects, and for names that no field can have.
    """
    for name, value in given.items():
        if name in READ_ONLY or _FIELD_NAME.fullmatch(name) is None:
            raise Refused("INVALID_FIELD", f"{name[:80]!r} is not a field of an event", fields=[name[:80]])
        if not (value is None or isinstance(value, str | int | float)):
            raise Refused(
                "JSON_PARSER_ERROR", f"{name} must be a text, a number or a checkbox", fields=[name]
            )
    return dict(given)


def _value(field: Field, given: Any) -> Any:
    if given == "" and field.type in _TEXTS:
        return given
    value = stored_value(field, given)
    check_value(field, value)
    return value
