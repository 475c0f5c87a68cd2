"""Sentences about pydantic's validation errors, in the words of the configuration."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo

LIST = "must be a list"
SECTION = "must be a section, with keys of its own"
SIZES = frozenset({"too_short", "too_long"})

_TEXT = "must be a text"
_WHOLE = "must be a whole number"
_NUMBER = "must be a number"
_TRUTH = "must be true or false"
_MISSING = "is missing"
_UNKNOWN = "no such key"
_TIME = "must be a time such as 2026-01-31T09:30:00Z"

# Values from the error's `ctx` replace the braces.
_SENTENCES: Mapping[str, str] = {
    "string_type": _TEXT,
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_parsing_size": _WHOLE,
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": _NUMBER,
    "bool_type": _TRUTH,
    "bool_parsing": _TRUTH,
    "list_type": LIST,
    "tuple_type": LIST,
    "set_type": LIST,
    "dict_type": SECTION,
    "mapping_type": SECTION,
    "model_type": SECTION,
    "model_attributes_type": SECTION,
    "datetime_type": _TIME,
    "datetime_parsing": _TIME,
    "datetime_from_date_parsing": _TIME,
    "datetime_object_invalid": _TIME,
    "timezone_aware": "must be a time with a zone, such as 2026-01-31T09:30:00Z",
    "path_type": "must be the path of a file",
    "enum": "must be {expected}",
    "literal_error": "must be {expected}",
    "union_tag_invalid": "allowed: {expected_tags}",
    "greater_than": "must be greater than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "too_short": "must have at least {min_length}",
    "too_long": "must have at most {max_length}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must have the form {pattern}",
    "missing": _MISSING,
    "missing_argument": _MISSING,
    "missing_keyword_only_argument": _MISSING,
    "extra_forbidden": _UNKNOWN,
    "unexpected_keyword_argument": _UNKNOWN,
}


def mistakes(error: ValidationError) -> list[str]:
    """Return each mistake in `error` with its key; no value is repeated."""
    details = error.errors(include_url=False, include_input=False)
    return [_at(detail["loc"], sentence(detail)) for detail in details]


def sentence(detail: Any, value: Any = None, field: FieldInfo | None = None) -> str:
    """Return a sentence about one error of a `ValidationError`, for `value` of `field`."""
    kind = detail["type"]
    if kind == "string_type" and isinstance(value, int | float | date):
        return f"{_TEXT}: put the value in quotes"
    if kind == "string_pattern_mismatch" and field is not None and field.examples:
        return f"must look like {field.examples[0]}"
    if kind in SIZES:
        size = _SENTENCES[kind].format(**detail["ctx"])
        one = 1 in detail["ctx"].values()
        entries = "characters" if isinstance(value, str) else "entry" if one else "entries"
        return f"{size} {entries}"
    if kind in _SENTENCES:
        return _SENTENCES[kind].format(**detail.get("ctx", {}))
    # The sentence comes from our code or a plugin's author, or from a rule that only plugins use.
    message: str = detail["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    message = message.replace("Input should be", "must be").replace("a valid ", "a ")
    return message[:1].lower() + message[1:] if message else "is not allowed"


def _at(place: tuple[int | str, ...], what: str) -> str:
    return f"{'.'.join(map(str, place))}: {what}" if place else what
