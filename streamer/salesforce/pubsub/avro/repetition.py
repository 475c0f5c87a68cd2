"""Reader of a value that is mostly the same from one event to the next."""

from typing import Any

from streamer.events import json_copy
from streamer.salesforce.pubsub.avro.primitives import Reader

# A schema stays in memory for long, and the last values with it.
_LONGEST_KEPT = 512


def repeating_reader(read: Reader) -> Reader:
    """Return a reader that calls `read` only when the bytes differ from the last value's.

    Comparing bytes takes one step, and equal bytes give equal values. Each event
    gets lists and objects of its own.
    """
    known, size = b"", 0
    value: Any = None
    is_owned = False

    def read_repeating(data: bytes, at: int) -> tuple[Any, int]:
        nonlocal known, size, value, is_owned
        if size and data.startswith(known, at):
            return (json_copy(value) if is_owned else value), at + size
        found, end = read(data, at)
        if end - at <= _LONGEST_KEPT:
            is_owned = isinstance(found, dict | list)
            known, size, value = data[at:end], end - at, json_copy(found)
        return found, end

    return read_repeating
