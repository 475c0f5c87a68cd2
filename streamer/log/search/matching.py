"""Tests whether an event is one that a search looks for."""

from collections.abc import Callable
from datetime import UTC, datetime

from streamer.events import Event
from streamer.log.patterns import wants
from streamer.normalise.times import as_event_time
from streamer.ports import EventSearch

ANY_TYPE = ("*",)
# The first and the last second that can be written.
_FIRST_S = datetime(1, 1, 1, tzinfo=UTC).timestamp()
_LAST_S = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()


def matcher(asked: EventSearch) -> Callable[[Event], bool]:
    """Return a test whether an event matches every field of a search."""
    wanted = wants(asked.types or ANY_TYPE)
    key = asked.key
    since, until = text_time(asked.since), text_time(asked.until)

    def matches(event: Event) -> bool:
        return (
            wanted(event.type)
            and asked.event_id in {None, event.id}
            and (key is None or key in {event.subject, event.key})
            and asked.channel in {None, event.channel}
            and (since is None or event.time >= since)
            and (until is None or event.time < until)
        )

    return matches


def text_time(at: float | None) -> str | None:
    """Return epoch seconds as the times of events are written."""
    return None if at is None else as_event_time(datetime.fromtimestamp(min(max(at, _FIRST_S), _LAST_S), UTC))


def epoch_s(event: Event) -> float:
    """Return the time of `event` in epoch seconds."""
    return datetime.fromisoformat(event.time).timestamp()
