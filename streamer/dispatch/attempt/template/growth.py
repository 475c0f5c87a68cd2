"""Bounds of the operators, filters and methods whose values can be larger than what they are given."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from streamer.dispatch.attempt.functions.extents import LimitExceeded, check_length, extent
from streamer.dispatch.attempt.template.work import (
    fitting_list,
    fitting_number,
    fitting_width,
)

Bound = Callable[..., None]
"""Takes the arguments of a filter or method, and raises `LimitExceeded` if its value is too large."""

_MOST_PLACES = 1_000
_LARGEST_EXPONENT = 1_000
_DEEPEST_INDENT = 16
_OF_A_LINK = 60
_CODE = re.compile(r"%(?:\([^)]*\))?[#0\- +]*(\*|\d+)?(?:\.(\*|\d+))?")
_NAMED = "%("
_NUMBERS = re.compile(r"\d+")


def check_multiplication(left: Any, right: Any) -> None:
    """Raise `LimitExceeded` if `left * right` is too large."""
    if isinstance(left, int) and isinstance(right, int):
        fitting_number(left.bit_length() + right.bit_length())
        return
    for sequence, times in ((left, right), (right, left)):
        if isinstance(sequence, str) and isinstance(times, int):
            check_length(len(sequence) * times)
        elif isinstance(sequence, list | tuple) and isinstance(times, int):
            fitting_list(len(sequence) * times)


def check_power(base: Any, exponent: Any) -> None:
    """Raise `LimitExceeded` if `base ** exponent` is too large."""
    is_number = isinstance(exponent, int | float | Decimal)
    if is_number and not abs(exponent) <= _LARGEST_EXPONENT:
        raise LimitExceeded(f"an exponent is at most {_LARGEST_EXPONENT:,}")
    if isinstance(base, int) and isinstance(exponent, int):
        fitting_number(base.bit_length() * abs(exponent))


def check_addition(left: Any, right: Any) -> None:
    """Raise `LimitExceeded` if `left + right` is too large."""
    if isinstance(left, str) and isinstance(right, str):
        check_length(len(left) + len(right))
    elif isinstance(left, list | tuple) and isinstance(right, list | tuple):
        fitting_list(len(left) + len(right))


def check_formatting(template: Any, values: Any) -> None:
    """Raise `LimitExceeded` if `template % values` is too large."""
    if not isinstance(template, str):
        return
    codes = [match.groups() for match in _CODE.finditer(template)]
    widths = [each for code in codes for each in code if each]
    if "*" in widths:
        raise LimitExceeded("a width in a format is a number, not *")
    for width in widths:
        check_width_of_format(width)
    single = values
    if isinstance(values, Mapping) and _NAMED in template:
        single = tuple(values.values())
    lengths = [extent(each) for each in single] if isinstance(single, tuple) else [extent(single)]
    check_length(len(template) + len(codes) * max([0, *lengths, *map(int, widths)]))


def check_width_of_format(specification: str) -> None:
    """Raise `LimitExceeded` if a width or a precision in `specification` is too large."""
    for digits in _NUMBERS.findall(specification):
        # Python refuses to read a number of some thousand digits.
        fitting_width(int(digits[-9:]) if not digits[:-9].strip("0") else float("inf"))


def joinable(items: list[Any], separator: Any) -> list[Any]:
    """Return `items`. Raises `LimitExceeded` if they are too long when they are joined by `separator`."""
    check_length(extent(items) + len(items) * len(_text(separator)))
    return items


def _center(value: Any, width: Any = 80, *_fill: Any) -> None:
    extent(value)
    fitting_width(width)


def _indent(value: Any, width: Any = 4, *_options: Any, **_named: Any) -> None:
    text = _text(value)
    fitting_width(width)
    by = len(width) if isinstance(width, str) else int(width)
    check_length(len(text) + (len(text.splitlines()) + 1) * by)


def _replace(value: Any, old: Any, new: Any, count: Any = None) -> None:
    text, old, new = _text(value), _text(old), _text(new)
    times = text.count(old) if count is None or count < 0 else min(count, text.count(old))
    check_length(len(text) + times * max(0, len(new) - len(old)))


def _format(value: Any, *values: Any, **named: Any) -> None:
    check_formatting(_text(value), named or values)


def _wordwrap(
    value: Any, width: Any = 79, _long: Any = None, wrapstring: Any = None, *_more: Any, **_named: Any
) -> None:
    text = _text(value)
    lines = 2 * len(text) // max(1, int(width)) + len(text.splitlines())
    check_length(len(text) + lines * len("\n" if wrapstring is None else _text(wrapstring)))


def _urlize(value: Any, *options: Any, **named: Any) -> None:
    text = _text(value)
    words = sum(text.count(each) for each in (".", "@", ":"))
    check_length(2 * len(text) + words * (_OF_A_LINK + extent([*options, *named.values()])))


def _tojson(value: Any, indent: Any = None) -> None:
    if indent is not None and not (isinstance(indent, int) and 0 <= indent <= _DEEPEST_INDENT):
        raise LimitExceeded(f"an indent is a number from 0 to {_DEEPEST_INDENT}")
    extent(value)


def _round(_value: Any, precision: Any = 0, method: Any = None) -> None:  # noqa: ARG001 - as the filter has it
    if isinstance(precision, int) and abs(precision) > _MOST_PLACES:
        raise LimitExceeded(f"a number is rounded to at most {_MOST_PLACES:,} places")


def _batch(_value: Any, linecount: Any, fill_with: Any = None) -> None:  # noqa: ARG001 - as the filter has it
    fitting_width(linecount)


def _slice(_value: Any, slices: Any, fill_with: Any = None) -> None:  # noqa: ARG001 - as the filter has it
    fitting_width(slices)


def _sum(_value: Any, attribute: Any = None, start: Any = 0) -> None:  # noqa: ARG001 - as the filter has it
    if isinstance(start, list | tuple):
        raise LimitExceeded("sum adds numbers, not lists")


def _written(value: Any, *_arguments: Any, **_named: Any) -> None:
    extent(value)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    extent(value)
    return str(value)


BOUNDS_OF_FILTERS: Mapping[str, Bound] = MappingProxyType(
    {
        **dict.fromkeys(("e", "escape", "forceescape", "safe", "string", "upper", "lower"), _written),
        **dict.fromkeys(("capitalize", "title", "trim", "striptags", "wordcount", "pprint"), _written),
        **dict.fromkeys(("urlencode", "xmlattr", "truncate", "elements"), _written),
        "batch": _batch,
        "center": _center,
        "format": _format,
        "indent": _indent,
        "replace": _replace,
        "round": _round,
        "slice": _slice,
        "sum": _sum,
        "tojson": _tojson,
        "urlize": _urlize,
        "wordwrap": _wordwrap,
    }
)
"""Bounds of filters by their names."""

BOUNDS_OF_METHODS: Mapping[str, Bound] = MappingProxyType(
    {**dict.fromkeys(("center", "ljust", "rjust", "zfill"), _center), "replace": _replace}
)
"""Bounds of a text's methods by their names, beside `join` and `format`."""

FORBIDDEN_METHODS = frozenset({"encode", "expandtabs", "from_bytes", "maketrans", "to_bytes", "translate"})
"""Methods of texts and numbers that a template can't call: nothing bounds them, and no text needs them."""
