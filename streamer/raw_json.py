"""JSON bytes of any parsed value, for dead letters."""

import base64
import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import orjson

from streamer.exact_json import exact_default


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
