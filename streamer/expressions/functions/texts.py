"""Functions of texts."""

import hashlib
import re
from decimal import Decimal
from functools import partial
from typing import Any

from streamer.expressions.functions.budget import LONGEST_TEXT
from streamer.expressions.functions.function import (
    Function,
    Parameter,
    UnfitArgument,
    a_text,
    bounded,
    kind_of,
    shown,
    whole,
)

_WIDEST = 10_000
_PLACE = "{}"
_BRACES = re.compile(r"(\{\{|\}\}|\{\})")


def a_single_value(value: Any) -> str:
    """Read a text, a number or a boolean as text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | Decimal):
        # The text has no exponent, and has the same digits as the float when it is printed.
        return f"{Decimal(str(value)):f}"
    raise UnfitArgument(f"must be a text, a number or a boolean, found {kind_of(value)}")


def _not_empty(value: Any) -> str:
    if text := a_text(value):
        return text
    raise UnfitArgument("must not be empty")


def _one_character(value: Any) -> str:
    if len(text := a_text(value)) == 1:
        return text
    raise UnfitArgument(f"must be one character, found {shown(text)}")


def _template(value: Any) -> list[str]:
    """Read a template with `{}` for values, and `{{` and `}}` for braces, as the pieces between values."""
    pieces = [""]
    for part in _BRACES.split(a_text(value)):
        if part == _PLACE:
            pieces.append("")
        elif part in {"{{", "}}"}:
            pieces[-1] += part[0]
        elif "{" in part or "}" in part:
            raise UnfitArgument("must contain {} for each value, and must double literal braces: {{ and }}")
        else:
            pieces[-1] += part
    return pieces


def _format(pieces: list[str], *values: str) -> str:
    if len(values) != len(pieces) - 1:
        found = f"the template has {len(pieces) - 1} {{}}"
        raise UnfitArgument(f"{found}, and the number of values is {len(values)}")
    parts = [part for pair in zip(pieces, [*values, ""], strict=True) for part in pair]
    return bounded("".join(parts))


def _replace(text: str, old: str, new: str) -> str:
    # Compute the length before creating the text, because a refused result must not take any
    # memory.
    if len(text) + text.count(old) * (len(new) - len(old)) > LONGEST_TEXT:
        raise UnfitArgument(f"the text would have more than {LONGEST_TEXT:,} characters")
    return text.replace(old, new)


def _trim(text: str, characters: str | None = None) -> str:
    return text.strip(characters)


def _substring(text: str, start: int, length: int | None = None) -> str:
    begin = max(0, len(text) + start) if start < 0 else start
    return text[begin:] if length is None else text[begin : begin + length]


def _pad_left(text: str, width: int, fill: str = " ") -> str:
    return text.rjust(width, fill)


def _pad_right(text: str, width: int, fill: str = " ") -> str:
    return text.ljust(width, fill)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


_words = partial(Parameter, kinds=("string",))
_numbers = partial(Parameter, kinds=("number",))
_SINGLE = ("string", "number", "boolean")
_TEXT = _words(name="text", read=a_text)
_SHOWN = Parameter(name="text", read=a_single_value, kinds=_SINGLE)
_WIDTH = _numbers(name="width", read=whole(0, _WIDEST))
_FILL = _words(name="fill", read=_one_character, is_optional=True)
_text_function = partial(Function, returns="string")

FUNCTIONS = (
    _text_function(name="upper", parameters=(_TEXT,), call=str.upper),
    _text_function(name="lower", parameters=(_TEXT,), call=str.lower),
    _text_function(
        name="trim",
        parameters=(_TEXT, _words(name="characters", read=_not_empty, is_optional=True)),
        call=_trim,
    ),
    _text_function(
        name="replace",
        parameters=(_TEXT, _words(name="old", read=_not_empty), _words(name="new", read=a_text)),
        call=_replace,
    ),
    Function(
        name="split",
        parameters=(_TEXT, _words(name="separator", read=_not_empty)),
        call=str.split,
        returns="array",
    ),
    _text_function(
        name="substring",
        parameters=(
            _TEXT,
            _numbers(name="start", read=whole(-LONGEST_TEXT, LONGEST_TEXT)),
            _numbers(name="length", read=whole(0, LONGEST_TEXT), is_optional=True),
        ),
        call=_substring,
    ),
    _text_function(name="pad_left", parameters=(_SHOWN, _WIDTH, _FILL), call=_pad_left),
    _text_function(name="pad_right", parameters=(_SHOWN, _WIDTH, _FILL), call=_pad_right),
    _text_function(
        name="format",
        parameters=(
            _words(name="template", read=_template),
            Parameter(name="value", read=a_single_value, kinds=_SINGLE),
        ),
        call=_format,
        is_variadic=True,
    ),
    _text_function(name="sha256", parameters=(_SHOWN,), call=_sha256),
)
"""Functions of texts."""
