"""Reading of messages one by one, and handling of those without the shape that their channel promises."""

from collections.abc import Callable, Sequence
from typing import Any

from streamer.events import Event, JsonObject, ReplayId, Unreadable
from streamer.raw_json import raw_json
from streamer.replay_ids import LONGEST_BYTES
from streamer.schema_ids import known_schema_id

_LONGEST_ERROR = 300


def each_read(
    messages: Sequence[Any], expected: str, event: Callable[[JsonObject], Event]
) -> list[Event | Unreadable]:
    """Return the `event` of each message's data in order; one for which it raises is `Unreadable`."""
    read: list[Event | Unreadable] = []
    for message in messages:
        try:
            read.append(event(message["data"]))
        except Exception as error:  # noqa: BLE001 - whatever a message does, it costs only itself
            read.append(unreadable(message, expected, error))
    return read


def unreadable(message: Any, expected: str, error: Exception) -> Unreadable:
    """Return `message`, which is not the `expected` kind, as `Unreadable` with its bytes and its position."""
    summary = f"Not {expected}: {type(error).__name__}"
    told = f"{summary}: {str(error)[:_LONGEST_ERROR]}"
    return Unreadable(
        raw=raw_json(message),
        error=told,
        # A key is one that was looked for, and other texts can quote the message.
        summary=told if type(error) is KeyError else summary,
        replay_id=_replay_id(message),
        schema_id=_schema_id(message),
    )


def replay_id_of(about: Any) -> ReplayId:
    """Return the position of a message by its `event` member: a number of CometD, or opaque bytes.

    A number below zero is refused: to Salesforce it is an order to begin
    elsewhere.
    """
    position = about["replayId"]
    if type(position) is int and position >= 0:
        return ReplayId(b"%d" % position)
    if type(position) is bytes and 0 < len(position) <= LONGEST_BYTES:
        return ReplayId(position)
    raise ValueError("replayId is not a position")


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
