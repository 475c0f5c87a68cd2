"""One record: its version, and how foreign or newer ones are refused."""

import binascii
from collections.abc import Callable
from typing import TypeVar

import orjson

from streamer.errors import LogMisconfigured
from streamer.events import JsonObject

VERSION = 1

_Value = TypeVar("_Value")


def encode(fields: JsonObject) -> bytes:
    """Return `fields` as a record; raises `TypeError` when they hold what JSON can't."""
    return orjson.dumps({"v": VERSION, **fields})


def decode(
    raw: bytes | str, what: str, make: Callable[[JsonObject], _Value], *, version: int = VERSION
) -> _Value:
    """Return what `make`, which knows `version`, makes of the fields of a record, named `what`.

    Raises `LogMisconfigured`.
    """
    try:
        fields = orjson.loads(raw)
        if fields["v"] > version:
            raise LogMisconfigured(
                f"the log holds {what} of version {fields['v']}, and this Streamer reads up to {version}: "
                "run the newer Streamer that wrote it"
            )
        return make(fields)
    except (LookupError, TypeError, ValueError, AttributeError, binascii.Error) as exc:
        raise LogMisconfigured(
            f"the log holds {what} that Streamer did not write: use a log that only Streamer writes"
        ) from exc


def printable(text: str) -> str:
    """Return `text` with what UTF-8 can't hold as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def optional_printable(text: str | None) -> str | None:
    """Return `text`, if there is one, with what UTF-8 can't hold as escapes."""
    return None if text is None else printable(text)


def optional_float(number: float | None) -> float | None:
    """Return `number` as a float, for JSON knows no difference."""
    return None if number is None else float(number)
