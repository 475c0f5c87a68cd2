"""Parts that all normalisers share: positions, times, and messages that are malformed."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from streamer.events import LONGEST_REPLAY_ID, Event, JsonObject, ReplayId, Unreadable
from streamer.exact_json import raw_json
from streamer.schema_ids import known_schema_id

_LONGEST_ERROR = 300


def each_read(
    messages: Sequence[Any], expected: str, event: Callable[[JsonObject], Event]
) -> list[Event | Unreadable]:
    """Return the `event` of each message's data in order; if `event` raises, the message is `Unreadable`."""
    read: list[Event | Unreadable] = []
    for message in messages:
        try:
            read.append(event(message["data"]))
        except Exception as error:  # noqa: BLE001 - a bad message must not affect the other messages
            read.append(unreadable(message, expected, error))
    return read


def unreadable(message: Any, expected: str, error: Exception) -> Unreadable:
    """Return `message`, which is not of the `expected` kind, as `Unreadable` with bytes and position."""
    summary = f"Not {expected}: {type(error).__name__}"
    told = f"{summary}: {str(error)[:_LONGEST_ERROR]}"
    return Unreadable(
        raw=raw_json(message),
        error=told,
        # A missing key is a name from our code; other error messages can quote the message.
        summary=told if type(error) is KeyError else summary,
        replay_id=_replay_id(message),
        schema_id=_schema_id(message),
    )


def replay_id_of(about: Any) -> ReplayId:
    """Return the position in a message's `event` member: a number of CometD, or opaque bytes.

    A negative number is refused, because Salesforce would start at another
    position.
    """
    position = about["replayId"]
    if type(position) is int and position >= 0:
        return ReplayId(b"%d" % position)
    if type(position) is bytes and 0 < len(position) <= LONGEST_REPLAY_ID:
        return ReplayId(position)
    raise ValueError("replayId is not a valid replay id")


def _schema_id(message: Any) -> str:
    try:
        return known_schema_id(message["data"]["schema"])
    except (LookupError, TypeError):
        return ""


def _replay_id(message: Any) -> ReplayId | None:
    try:
        return replay_id_of(message["data"]["event"])
    except (LookupError, TypeError, ValueError):
        return None


_EPOCH = datetime.fromtimestamp(0, UTC)
_YEAR_10000_MS = 253_402_300_800_000


# The events of a transaction have the same time, and a backlog repeats times often.
@lru_cache(maxsize=1024, typed=True)
def from_epoch_ms(epoch_ms: int) -> str:
    """Return `epoch_ms`, milliseconds since the epoch, as RFC 3339 in UTC.

    Raises `ValueError` for a time before 1970 or after 9999.
    """
    if not 0 <= epoch_ms < _YEAR_10000_MS:
        raise ValueError("a time is outside of the years 1970 to 9999")
    seconds, milliseconds = divmod(epoch_ms, 1000)
    return f"{_whole_seconds(seconds)}.{milliseconds:03d}Z"


def from_text(text: str) -> str:
    """Return a date-time from Salesforce (`…Z`, `…+0000`) as RFC 3339 in UTC.

    Raises `ValueError` if `text` is not a date-time, or is before 1970.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    if moment < _EPOCH:
        raise ValueError("a time is before the year 1970")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@lru_cache(maxsize=4096)
def _whole_seconds(seconds: int) -> str:
    # Many events have the same second, and strftime is slow.
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def as_event_time(moment: datetime) -> str:
    """Return `moment` in the format of event times, so that texts compare like times.

    A `moment` without a zone is in UTC.
    """
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return aware.isoformat(timespec="milliseconds").replace("+00:00", "Z")
