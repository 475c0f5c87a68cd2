"""The common message form of both transports.

`{"channel": …, "data": {"schema": …, "payload": …, "event": {"replayId": …}}}`

Over CometD, the replay id is a number; over the Pub/Sub API, opaque bytes.
"""

from datetime import UTC, datetime
from typing import Any

from streamer.events import ReplayId


def replay_id_of(message: Any) -> ReplayId | None:
    """Return the position of `message` in its channel, or `None` if the message has no replay id."""
    value = _at(message, "data", "event", "replayId")
    if type(value) is bytes:
        return ReplayId(value)
    return None if value is None else ReplayId(str(value).encode())


def committed_at(message: Any) -> float | None:
    """Return the commit time of `message` in epoch seconds, or `None` if the message has no time.

    PushTopic and generic events contain the time next to their replay id,
    change events in their header, and platform events in `CreatedDate`.
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
