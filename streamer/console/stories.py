"""Addresses of events' stories, and events as rows of a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from streamer.console.outcome_chips import OutcomeChip, chips_of
from streamer.events import JsonObject

_MOST_NAMED = 20
_LONGEST = 200
# A search includes one second around the event's time, because `_text` cuts times to milliseconds.
_MARGIN = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """Event as a table row, with shortened texts; `place` is the position in the log.

    `chips` are its outcomes; in a tail, they are not known.
    """

    address: str
    type: str
    key: str
    time: str
    channel: str
    changed: str
    place: str
    chips: Sequence[OutcomeChip] = ()


def story_address(event: Mapping[str, Any]) -> str:
    """Return the address of an event's story, from the event's `id` and, if known, type and time.

    The type and the time narrow the search for the event.
    """
    narrowed = {}
    type_ = event.get("type")
    if isinstance(type_, str) and 0 < len(type_) <= _LONGEST and not {"*", ","} & set(type_):
        narrowed["type"] = type_
    if isinstance(event.get("time"), str):
        narrowed |= _around(event["time"])
    query = f"?{urlencode(narrowed, errors='replace')}" if narrowed else ""
    return f"/console/events/{quote(str(event['id']), safe=':', errors='replace')}{query}"


def event_row(event: JsonObject) -> EventRow:
    """Return an event from a search or the tail as a row."""
    data = event.get("data")
    changed = data.get("changed_fields") if isinstance(data, dict) else event.get("changed_fields")
    names = [str(each) for each in changed[:_MOST_NAMED]] if isinstance(changed, list) else []
    key = event["subject"] or event["key"] or ""
    return EventRow(
        address=story_address(event),
        type=_cut(event["type"]),
        key=_cut(key),
        time=event["time"],
        channel=_cut(event["channel"]),
        changed=_cut(", ".join(names)),
        place=f"{event['topic']}/{event['partition']}/{event['offset']}",
        chips=chips_of(event.get("outcomes", {})),
    )


def event_rows(events: Sequence[JsonObject]) -> list[EventRow]:
    """Return events as rows."""
    return [event_row(each) for each in events]


def _around(time: str) -> dict[str, str]:
    try:
        at = datetime.fromisoformat(time).astimezone(UTC)
        return {"since": _text(at - _MARGIN), "until": _text(at + _MARGIN)}
    except (ValueError, OverflowError):
        return {}


def _text(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
