"""Limits for the operators, filters and methods whose values can be larger than their arguments."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from streamer.expressions.functions.budget import LONGEST_LIST, Budget, LimitExceeded, check_length, search

Bound = Callable[..., None]
"""Function that takes a budget and the arguments of a filter or method, and spends steps for its value.

It raises `LimitExceeded` if the budget is used up or the value is too large.
"""

LONGEST_NUMBER = 2_000
"""Largest number of bits that an integer computed by a template can have."""

WIDEST = 10_000
"""Greatest width to which a template pads a text."""

_MOST_PLACES = 1_000
_LARGEST_EXPONENT = 1_000
_DEEPEST_INDENT = 16
_OF_A_LINK = 60
_CODE = re.compile(r"%(?:\([^)]*\))?[#0\- +]*(\*|\d+)?(?:\.(\*|\d+))?")
_NAMED = "%("
_NUMBERS = re.compile(r"\d+")


def _multiplication(_budget: Budget, left: Any, right: Any) -> None:
    """Raise `LimitExceeded` if `left * right` is too large."""
    if isinstance(left, int) and isinstance(right, int):
        fitting_number(left.bit_length() + right.bit_length())
        return
    for sequence, times in ((left, right), (right, left)):
        if isinstance(sequence, str) and isinstance(times, int):
            check_length(len(sequence) * times)
        elif isinstance(sequence, list | tuple) and isinstance(times, int):
            fitting_list(len(sequence) * times)


def _power(_budget: Budget, base: Any, exponent: Any) -> None:
    """Raise `LimitExceeded` if `base ** exponent` is too large."""
    is_number = isinstance(exponent, int | float | Decimal)
    if is_number and not abs(exponent) <= _LARGEST_EXPONENT:
        raise LimitExceeded(f"an exponent must be at most {_LARGEST_EXPONENT:,}")
    if isinstance(base, int) and isinstance(exponent, int):
        fitting_number(base.bit_length() * abs(exponent))


def _addition(_budget: Budget, left: Any, right: Any) -> None:
    """Raise `LimitExceeded` if `left + right` is too large."""
    if isinstance(left, str) and isinstance(right, str):
        check_length(len(left) + len(right))
    elif isinstance(left, list | tuple) and isinstance(right, list | tuple):
        fitting_list(len(left) + len(right))


def check_formatting(budget: Budget, template: Any, values: Any) -> None:
    """Raise `LimitExceeded` if `template % values` is too large."""
    if not isinstance(template, str):
        return
    codes = [match.groups() for match in _CODE.finditer(template)]
    widths = [each for code in codes for each in code if each]
    if "*" in widths:
        raise LimitExceeded("a width in a format must be a number, not *")
    for width in widths:
        check_width_of_format(width)
    single = values
    if isinstance(values, Mapping) and _NAMED in template:
        single = tuple(values.values())
    lengths = (
        [budget.extent(each) for each in single] if isinstance(single, tuple) else [budget.extent(single)]
    )
    check_length(len(template) + len(codes) * max([0, *lengths, *map(int, widths)]))


def check_width_of_format(specification: str) -> None:
    """Raise `LimitExceeded` if a width or a precision in `specification` is too large."""
    for digits in _NUMBERS.findall(specification):
        # Numbers with many digits are refused here, because Python can't read a number with some
        # thousands of digits.
        fitting_width(int(digits[-9:]) if not digits[:-9].strip("0") else float("inf"))


def joinable(budget: Budget, items: list[Any], separator: Any) -> list[Any]:
    """Return `items`; raises `LimitExceeded` if the text joined by `separator` would be too long."""
    check_length(budget.extent(items) + len(items) * len(_text(budget, separator)))
    return items


def _center(budget: Budget, value: Any, width: Any = 80, *_fill: Any) -> None:
    budget.extent(value)
    fitting_width(width)


def _indent(budget: Budget, value: Any, width: Any = 4, *_options: Any, **_named: Any) -> None:
    text = _text(budget, value)
    fitting_width(width)
    by = len(width) if isinstance(width, str) else int(width)
    check_length(len(text) + (len(text.splitlines()) + 1) * by)


def _replace(budget: Budget, value: Any, old: Any, new: Any, count: Any = None) -> None:
    text, old, new = _text(budget, value), _text(budget, old), _text(budget, new)
    search(budget, text, old)
    times = text.count(old) if count is None or count < 0 else min(count, text.count(old))
    check_length(len(text) + times * max(0, len(new) - len(old)))


def _format(budget: Budget, value: Any, *values: Any, **named: Any) -> None:
    check_formatting(budget, _text(budget, value), named or values)


def _wordwrap(
    budget: Budget,
    value: Any,
    width: Any = 79,
    _long: Any = None,
    wrapstring: Any = None,
    *_more: Any,
    **_named: Any,
) -> None:
    text = _text(budget, value)
    lines = 2 * len(text) // max(1, int(width)) + len(text.splitlines())
    check_length(len(text) + lines * len("\n" if wrapstring is None else _text(budget, wrapstring)))


def _urlize(budget: Budget, value: Any, *options: Any, **named: Any) -> None:
    text = _text(budget, value)
    words = sum(text.count(each) for each in (".", "@", ":"))
    check_length(2 * len(text) + words * (_OF_A_LINK + budget.extent([*options, *named.values()])))


def _tojson(budget: Budget, value: Any, indent: Any = None) -> None:
    if indent is not None and not (isinstance(indent, int) and 0 <= indent <= _DEEPEST_INDENT):
        raise LimitExceeded(f"an indent must be a number from 0 to {_DEEPEST_INDENT}")
    budget.extent(value)


def _round(_budget: Budget, _value: Any, precision: Any = 0, method: Any = None) -> None:  # noqa: ARG001 - as the filter has it
    if isinstance(precision, int) and abs(precision) > _MOST_PLACES:
        raise LimitExceeded(f"a number can be rounded to at most {_MOST_PLACES:,} decimal places")


def _batch(_budget: Budget, _value: Any, linecount: Any, fill_with: Any = None) -> None:  # noqa: ARG001 - as the filter has it
    fitting_width(linecount)


def _slice(_budget: Budget, _value: Any, slices: Any, fill_with: Any = None) -> None:  # noqa: ARG001 - as the filter has it
    fitting_width(slices)


def _sum(_budget: Budget, _value: Any, attribute: Any = None, start: Any = 0) -> None:  # noqa: ARG001 - as the filter has it
    if isinstance(start, list | tuple):
        raise LimitExceeded("sum can add only numbers, not lists")


def _written(budget: Budget, value: Any, *_arguments: Any, **_named: Any) -> None:
    budget.extent(value)


def _text(budget: Budget, value: Any) -> str:
    if isinstance(value, str):
        return value
    budget.extent(value)
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
"""Limits of filters by name."""

CHECKS_OF_OPERATORS: Mapping[str, Bound] = MappingProxyType(
    {"%": check_formatting, "*": _multiplication, "**": _power, "+": _addition}
)
"""Limits of operators by symbol; each function takes both operands."""

BOUNDS_OF_METHODS: Mapping[str, Bound] = MappingProxyType(
    {**dict.fromkeys(("center", "ljust", "rjust", "zfill"), _center), "replace": _replace}
)
"""Limits of a text's methods by name; `join` and `format` are handled elsewhere."""

FORBIDDEN_METHODS = frozenset({"encode", "expandtabs", "from_bytes", "maketrans", "to_bytes", "translate"})
"""Methods of texts and numbers that a template can't call, because these methods have no limits."""


def fitting_list(items: int) -> None:
    """Raise `LimitExceeded` if a list with this many items is too long."""
    if items > LONGEST_LIST:
        raise LimitExceeded(f"a list would have more than {LONGEST_LIST:,} items")


def fitting_number(bits: int) -> None:
    """Raise `LimitExceeded` if an integer with this many bits is too large."""
    if bits > LONGEST_NUMBER:
        raise LimitExceeded(f"a number would have more than {LONGEST_NUMBER:,} bits")


def fitting_width(width: Any) -> None:
    """Raise `LimitExceeded` if `width` is a number and too large for a width."""
    if isinstance(width, int | float | Decimal) and not -WIDEST <= width <= WIDEST:
        raise LimitExceeded(f"a width must be at most {WIDEST:,}")
