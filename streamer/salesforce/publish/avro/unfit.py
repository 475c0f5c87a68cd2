"""Values that a field does not take. They can be personal data, so that a message names only their kind."""

from decimal import Decimal
from typing import Any


class UnfitValue(ValueError):
    """A field does not take a value; the message says what was found, and what to send."""


def found(value: Any) -> str:
    """Return the words for the kind of a JSON value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    kinds = (word for kinds, word in _KINDS if isinstance(value, kinds))
    return next(kinds, f"a {type(value).__name__}")


_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (type(None), "null"),
    ((int, float, Decimal), "a number"),
    (str, "a text"),
    ((list, tuple), "a list"),
    (dict, "an object"),
)
