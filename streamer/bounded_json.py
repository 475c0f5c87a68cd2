"""JSON from outside, parsed within bounds on the memory and the time that its values take."""

from typing import Any

from streamer.exact_json import exact_value

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
