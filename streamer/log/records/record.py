"""Envelope of every record: its version, and the refusal of foreign or newer records."""

import binascii
from collections.abc import Callable
from typing import TypeVar

import orjson

from streamer.errors import ForeignRecord, LogMisconfigured
from streamer.events import JsonObject
from streamer.exact_json import exact_default, exact_value

VERSION = 1

RECORD_START = b'{"v":'
"""Beginning of every record that `encode` returns."""

_Value = TypeVar("_Value")


def encode(fields: JsonObject) -> bytes:
    """Return `fields` as a record; raises `TypeError` when JSON can't hold them."""
    return orjson.dumps({"v": VERSION, **fields}, default=exact_default)


def decode(
    raw: bytes | str, what: str, make: Callable[[JsonObject], _Value], *, version: int = VERSION
) -> _Value:
    """Return the value that `make` builds from a record's fields.

    `what` names the record in errors, and `version` is the highest that `make`
    reads. Raises `LogMisconfigured` for a newer or foreign record.
    """
    try:
        fields = exact_value(raw)
        if fields["v"] > version:
            raise LogMisconfigured(
                f"the log holds {what} of version {fields['v']}, and this Streamer reads up to {version}: "
                "run the newer Streamer that wrote it"
            )
        return make(fields)
    except (LookupError, TypeError, ValueError, AttributeError, binascii.Error) as exc:
        raise ForeignRecord(
            f"the log holds {what} that Streamer did not write: use a log that only Streamer writes"
        ) from exc


def printable(text: str) -> str:
    """Return `text` with characters that UTF-8 can't hold escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def optional_printable(text: str | None) -> str | None:
    """Return `text`, if there is one, with characters that UTF-8 can't hold escaped."""
    return None if text is None else printable(text)


def optional_float(number: float | None) -> float | None:
    """Return `number`, if there is one, as a float: JSON does not tell floats from integers."""
    return None if number is None else float(number)
