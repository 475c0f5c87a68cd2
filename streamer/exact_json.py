"""Reader and writer of JSON that keep all digits of numbers.

A double keeps only 15 digits of every number, but JSON can have more. A number that
would lose a digit is read as a `Decimal`, and a `Decimal` is written with all its
digits. When text from outside is read, limits protect the memory. Values of any depth
can be written, because dead letters can be nested deeper than orjson can write.
"""

import base64
import json
import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import orjson

MOST_DIGITS = 50
"""Largest number of digits in a value read as a `Decimal`; longer ones become the nearest double."""

_LARGEST_EXPONENT = 60
_EXACT_CHARACTERS = 17
_LEAST_INTEGER, _MOST_INTEGER = -(2**63), 2**64 - 1


def _shape(byte: int) -> int:
    return ord("0") if chr(byte) in ".0123456789" else ord("e") if chr(byte) in "eE" else ord(" ")


# With this table, a search for a run of digits or an exponent takes two microseconds per kilobyte.
_DIGITS = bytes.maketrans(bytes(range(256)), bytes(_shape(each) for each in range(256)))
_RUN = b"0" * _EXACT_CHARACTERS
_EXPONENT = b"0e"
_BEFORE_NUMBER = b":,[ \n"
# No double has this many characters, so a longer number counts as a number with an exponent.
_LONGEST_NUMBER = 64
# An id has about one digit before an `e`. If a text has more such places, checking the values is cheaper.
_MOST_LOOKED_AT = 64


def exact_value(raw: bytes | bytearray | memoryview | str) -> Any:
    """Return the value of JSON, with a `Decimal` for each number that no double represents.

    Raises `orjson.JSONDecodeError`.
    """
    value = orjson.loads(raw)
    text = raw.encode() if isinstance(raw, str) else bytes(raw)
    # A shorter number has at most 15 digits.
    if _RUN not in text.translate(_DIGITS):
        return value
    try:
        return json.loads(text, parse_float=exact_number, parse_int=_integer)
    except (ValueError, RecursionError):
        # Only orjson reads some values, for example deeply nested ones.
        return value


def exact_number(text: str) -> float | Decimal:
    """Return the number in `text`, as a `Decimal` if a double would lose a digit. Raises `ValueError`."""
    approximate = float(text)
    if len(text) < _EXACT_CHARACTERS or not math.isfinite(approximate):
        return approximate
    exact = Decimal(text)
    fits = len(exact.as_tuple().digits) <= MOST_DIGITS and abs(exact.adjusted()) <= _LARGEST_EXPONENT
    return exact if fits and Decimal(repr(approximate)) != exact else approximate


def exact_json(value: Any, *, indented: bool = False) -> bytes:
    """Return `value` as JSON for a target: without exponents, and with all digits of each `Decimal`.

    Raises `TypeError` for values that JSON can't hold.
    """
    option = orjson.OPT_INDENT_2 if indented else None
    written = orjson.dumps(value, default=exact_default, option=option)
    if _has_exponent(written):
        return orjson.dumps(_without_exponents(value), default=exact_default, option=option)
    return written


def exact_default(value: Any) -> Any:
    """Return the JSON of a `Decimal` for orjson. Raises `TypeError` for other values."""
    if isinstance(value, Decimal) and value.is_finite():
        return orjson.Fragment(str(value))
    raise TypeError(f"a {type(value).__name__} can't be written as JSON")


def plain_number(value: float | Decimal) -> str:
    """Return a finite number in decimal digits without an exponent; a double gets the fewest digits."""
    return f"{value if isinstance(value, Decimal) else Decimal(repr(value)):f}"


def _has_exponent(written: bytes) -> bool:
    """Return false if no number in JSON has an exponent; true if a number has or may have an exponent."""
    shape = written.translate(_DIGITS)
    at = shape.find(_EXPONENT)
    for _ in range(_MOST_LOOKED_AT):
        if at < 0:
            return False
        begin = max(0, at - _LONGEST_NUMBER)
        before = written[begin : begin + len(shape[begin : at + 1].rstrip(b"0"))].removesuffix(b"-")
        if not before or before[-1] in _BEFORE_NUMBER:
            return True
        at = shape.find(_EXPONENT, at + 1)
    return True


def _without_exponents(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_exponents(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_exponents(each) for each in value]
    if isinstance(value, float | Decimal) and math.isfinite(value):
        return orjson.Fragment(plain_number(value))
    return value


def _integer(text: str) -> int | float | Decimal:
    if len(text) < _EXACT_CHARACTERS or _LEAST_INTEGER <= int(text) <= _MOST_INTEGER:
        return int(text)
    return exact_number(text)


# An empty object takes 3 bytes of JSON and 70 of memory; a value between two commas takes 2 and 8 to 60.
# Parsing this many takes some tenths of a second and blocks all threads. A smaller body need not be
# counted.
_COUNTED_FROM_BYTES = 1024 * 1024
_MOST_CONTAINERS = 500_000
_MOST_VALUES = 3_000_000


class OversizedJson(ValueError):
    """The text has too many values to fit into memory."""


def bounded_json(body: bytes | str) -> Any:
    """Return the value of the JSON in `body`, with all digits of its numbers (`exact_value`).

    Raises `OversizedJson`, and `orjson.JSONDecodeError` for text that is not JSON or
    has more than 1,024 levels.
    """
    check_json(body)
    return exact_value(body)


def check_json(body: bytes | str) -> None:
    """Raise `OversizedJson` if the values of `body` would need too much memory. `body` is not parsed."""
    if len(body) <= _COUNTED_FROM_BYTES:
        return
    raw = body.encode(errors="surrogatepass") if isinstance(body, str) else body
    _check(raw.count(b"{") + raw.count(b"["), _MOST_CONTAINERS, "arrays and objects", raw)
    _check(raw.count(b","), _MOST_VALUES, "values", raw)


def _check(found: int, most: int, what: str, raw: bytes) -> None:
    if found > most:
        raise OversizedJson(
            f"the JSON has {len(raw)} bytes and {found} {what}, but the limit is {most} {what}"
        )


def raw_json(value: Any) -> bytes:
    """Return `value` as JSON of any depth. Every part of `value` must be JSON, a `Decimal` or bytes.

    Bytes become base64. orjson alone reads 1,024 levels but writes only 254.
    """
    try:
        return orjson.dumps(value, default=_base64)
    except TypeError:
        return "".join(_pieces(value)).encode()


def _pieces(value: Any) -> list[str]:
    # A stack instead of recursion, because a deep value would exceed Python's recursion limit.
    pieces: list[str] = []
    waiting: list[tuple[bool, Any]] = [(False, value)]
    while waiting:
        is_written, item = waiting.pop()
        if is_written:
            pieces.append(item)
        elif isinstance(item, dict):
            waiting.append((True, "}"))
            members = [((True, f"{json.dumps(name)}:"), (False, inner)) for name, inner in item.items()]
            waiting += _in_turn(members)
            pieces.append("{")
        elif isinstance(item, list):
            waiting.append((True, "]"))
            waiting += _in_turn([((False, inner),) for inner in item])
            pieces.append("[")
        elif isinstance(item, Decimal):
            pieces.append(str(item))
        else:
            pieces.append(json.dumps(item, default=_base64))
    return pieces


def _base64(value: Any) -> Any:
    if type(value) is bytes:
        return base64.b64encode(value).decode("ascii")
    return exact_default(value)


def _in_turn(members: Sequence[Sequence[tuple[bool, Any]]]) -> list[tuple[bool, Any]]:
    """Return the stack entries that write `members` in order, with commas between them."""
    found: list[tuple[bool, Any]] = []
    for number, member in enumerate(members):
        found += [(True, ","), *member] if number else member
    return found[::-1]
