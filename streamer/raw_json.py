"""JSON from outside: parsed within bounds, and written again at any depth, for dead letters."""

import base64
import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import orjson

from streamer.exact_json import exact_default, exact_value

# An empty object takes 3 bytes of JSON and 70 of memory; a value between two commas takes 2 and 8 to 60.
# Parsing so many takes some tenths of a second, in which no other thread runs either. A smaller body is
# not worth counting.
_COUNTED_FROM_BYTES = 1024 * 1024
_MOST_CONTAINERS = 500_000
_MOST_VALUES = 3_000_000


class OversizedJson(ValueError):
    """The text consists of so many values that they would not fit into memory."""


def bounded_json(body: bytes | str) -> Any:
    """Return the value of the JSON in `body`, with all digits of its numbers (`exact_value`).

    Raises `OversizedJson`, and `orjson.JSONDecodeError` for what is no JSON or is
    nested in more than 1,024 levels.
    """
    check_json(body)
    return exact_value(body)


def check_json(body: bytes | str) -> None:
    """Raise `OversizedJson` for a `body` whose values would take much memory, without parsing it."""
    if len(body) <= _COUNTED_FROM_BYTES:
        return
    raw = body.encode(errors="surrogatepass") if isinstance(body, str) else body
    _check(raw.count(b"{") + raw.count(b"["), _MOST_CONTAINERS, "arrays and objects", raw)
    _check(raw.count(b","), _MOST_VALUES, "values", raw)


def _check(found: int, most: int, what: str, raw: bytes) -> None:
    if found > most:
        raise OversizedJson(f"a body of {len(raw)} bytes with {found} {what}: at most {most} are read")


def raw_json(value: Any) -> bytes:
    """Return `value` as JSON of any depth; every part of it is JSON, a `Decimal` or bytes.

    Bytes become base64. orjson reads 1,024 levels and writes 254.
    """
    try:
        return orjson.dumps(value, default=_base64)
    except TypeError:
        return "".join(_pieces(value)).encode()


def _pieces(value: Any) -> list[str]:
    # A stack instead of recursion: the deepest value must not exhaust the interpreter's.
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
    """Return what a stack must hold to write `members` in order, with commas between them."""
    found: list[tuple[bool, Any]] = []
    for number, member in enumerate(members):
        found += [(True, ","), *member] if number else member
    return found[::-1]
