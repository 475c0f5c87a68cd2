"""Handling of messages without the shape that their channel promises."""

import json
from typing import Any

import orjson

from streamer.events import ReplayId, Unreadable

MALFORMED = (KeyError, TypeError, AttributeError, ValueError, OverflowError, OSError)
"""Errors that reading a message raises when a part of it is missing or of another type."""


def unreadable(message: Any, expected: str, error: Exception) -> Unreadable:
    """Return `message`, which is not the `expected` kind, as `Unreadable` with its bytes and its position."""
    return Unreadable(
        raw=_bytes_of(message),
        error=f"Not {expected}: {type(error).__name__}: {error}",
        replay_id=_replay_id(message),
    )


def _bytes_of(message: Any) -> bytes:
    try:
        return orjson.dumps(message)
    except TypeError:
        # orjson reads deeper nesting than it writes.
        return json.dumps(message).encode()


def _replay_id(message: Any) -> ReplayId | None:
    try:
        return ReplayId(b"%d" % message["data"]["event"]["replayId"])
    except (KeyError, TypeError):
        return None
