"""Messages as both transports hand them on.

`{"channel": …, "data": {"schema": …, "payload": …, "event": {"replayId": …}}}`

The replay id is a number over CometD, and opaque bytes over the Pub/Sub API.
"""

from datetime import UTC, datetime
from typing import Any

from streamer.events import ReplayId


def replay_id_of(message: Any) -> ReplayId | None:
    """Return the position of `message` in its channel, or `None` if it carries none."""
    value = _at(message, "data", "event", "replayId")
    if type(value) is bytes:
        return ReplayId(value)
    return None if value is None else ReplayId(str(value).encode())


def committed_at(message: Any) -> float | None:
    """Return the commit time of `message` in epoch seconds, or `None` if it carries none.

    PushTopic and generic events carry it beside their replay id, change events
    in their header, platform events in `CreatedDate`.
    """
    created = _at(message, "data", "event", "createdDate")
    if created is not None:
        return _epoch_s(created)
    epoch_ms = _at(message, "data", "payload", "ChangeEventHeader", "commitTimestamp")
    if isinstance(epoch_ms, int | float):
        return epoch_ms / 1000
    return _epoch_s(_at(message, "data", "payload", "CreatedDate"))


def _epoch_s(text: Any) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None


def _at(value: Any, *keys: str) -> Any:
    for key in keys:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value
