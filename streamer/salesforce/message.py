"""Messages as both transports hand them on, the observer of sessions, and Salesforce's time.

`{"channel": …, "data": {"schema": …, "payload": …, "event": {"replayId": …}}}`

The replay id is a number over CometD, and opaque bytes over the Pub/Sub API.
"""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

import aiohttp

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


class SessionObserver(Protocol):
    """Counts and measures session events; must not block or raise."""

    def handshaken(self) -> None:
        """A new session has begun."""
        ...

    def answered(self, events: int, size: int) -> None:
        """An answer with `events` events, of `size` bytes, was read whole."""
        ...

    def lost(self, reason: str) -> None:
        """A session ended; `reason` is one of a few stable words."""
        ...

    def overdue(self) -> None:
        """Salesforce did not answer in time, and the connection was closed."""
        ...

    def subscribed(self, path: str) -> None:
        """Salesforce accepted the subscription of a channel."""
        ...

    def refused(self, path: str, error: str) -> None:
        """Salesforce refused the subscription of a channel."""
        ...


class NullObserver:
    """Ignores every event."""

    def handshaken(self) -> None:
        """Do nothing."""

    def answered(self, events: int, size: int) -> None:
        """Do nothing."""

    def lost(self, reason: str) -> None:
        """Do nothing."""

    def overdue(self) -> None:
        """Do nothing."""

    def subscribed(self, path: str) -> None:
        """Do nothing."""

    def refused(self, path: str, error: str) -> None:
        """Do nothing."""


def time_of(response: aiohttp.ClientResponse) -> float | None:
    """Return the server's time in epoch seconds, up to a second early; `None` without a valid date."""
    try:
        return parsedate_to_datetime(response.headers.get("Date", "")).timestamp()
    except (ValueError, OverflowError):
        return None
