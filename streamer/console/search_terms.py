"""Recognition of a search term: an id, a record, a type, a time, a subscriber, a channel or a key."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from urllib.parse import quote, urlencode

from streamer.events import record_id_of

_ADDRESS = re.compile(r"https?://", re.IGNORECASE)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_NAME = re.compile(r"[A-Z][A-Za-z]*|[A-Za-z]\w*__(?:c|e|x|mdt)", re.ASCII)
_CHANGE_EVENT = re.compile(r"([A-Za-z]\w*?)(__)?ChangeEvent", re.ASCII)
_AGO = re.compile(
    r"(?P<number>\d+(?:\.\d+)?|an?) ?(?P<unit>s|sec|second|m|min|minute|h|hour|d|day|w|week)s?(?: ago)?",
    re.IGNORECASE,
)
_CLOCK = re.compile(r"(?:(?P<day>today|yesterday) ?)?(?P<clock>\d\d?:\d\d(?::\d\d)?)?", re.IGNORECASE)
_ISO = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\S+)?")
_OTHER_DATE = re.compile(r"\d{1,2}[./]\d{1,2}[./]\d{2,4}(?: .*)?")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DAY = re.compile(r"\d{4}-\d\d-\d\d|today|yesterday", re.IGNORECASE)
LONGEST_TERM = 1_000
"""Largest number of characters of a search term."""

_EXAMPLES = "Write an event's id, a record's id, a type such as Opportunity, or a time such as 15 min ago."

_OUT_OF_RANGE = "This time is before 1970: the log holds only later events."


class TermKind(StrEnum):
    """Kind of a search term."""

    EVENT = "event"
    LETTER = "letter"
    RECORD = "record"
    TYPE = "type"
    TIME = "time"
    DAY = "day"
    SUBSCRIBER = "subscriber"
    CHANNEL = "channel"
    KEY = "key"


UNDERSTOOD = {
    TermKind.EVENT: "Your search is the id of an event. This is the event's story.",
    TermKind.LETTER: "Your search is the id of a dead letter.",
    TermKind.RECORD: "Your search is a record's id. These are the record's events, the newest first.",
    TermKind.TYPE: "Your search is a type of events. If you mean a key, enter it in the form below.",
    TermKind.TIME: "Your search is a time. These are the events since then, the oldest first.",
    TermKind.DAY: "Your search is a day. These are the events of this day in UTC, the oldest first.",
    TermKind.SUBSCRIBER: "Your search is the name of a subscriber.",
    TermKind.CHANNEL: "Your search is a channel. These are the channel's events, the newest first.",
    TermKind.KEY: "Your search is taken as a record or a key. These are its events, the newest first.",
}
"""Sentences that say how a search term was understood."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchTerm:
    """Term that was understood as `kind`; `path`, below /console, leads to its page."""

    kind: TermKind
    path: str


class NotUnderstood(ValueError):
    """A search term is not of any known kind; the message says what to write instead."""


def understood(text: str, *, now: float, subscribers: Collection[str], paths: Collection[str]) -> SearchTerm:
    """Return the kind of a search term, and its page.

    `subscribers` are the configured names, and `paths` the channels. A time without a
    zone is in UTC. Raises `NotUnderstood`.
    """
    text = text.strip()
    if not text or len(text) > LONGEST_TERM or not text.isprintable():
        raise NotUnderstood(_EXAMPLES)
    if text in subscribers:
        return SearchTerm(kind=TermKind.SUBSCRIBER, path=f"/subscribers/{quote(text, safe='')}")
    if text.startswith("/"):
        return _channel(text, paths)
    return _time(text, now) or _word(text, subscribers)


def _channel(text: str, paths: Collection[str]) -> SearchTerm:
    if text not in paths:
        known = ", ".join(paths) or "none"
        raise NotUnderstood(f"No channel has the path {text}; configured: {known}.")
    return _events(TermKind.CHANNEL, channel=text)


def _word(text: str, subscribers: Collection[str]) -> SearchTerm:
    if " " in text:
        raise NotUnderstood(f"This search has several words. {_EXAMPLES}")
    if record := _record(text):
        return _events(TermKind.RECORD, record=record)
    if _UUID.fullmatch(text):
        return SearchTerm(kind=TermKind.EVENT, path=f"/events/{quote(text, safe=':')}")
    if ":" in text:
        return _id(text, subscribers)
    if types := _types(text):
        return _events(TermKind.TYPE, type=types)
    return _events(TermKind.KEY, record=text)


def _record(text: str) -> str | None:
    """Return the record id that `text` is, or that the address of a record's page ends with."""
    parts = text.partition("?")[0].split("/") if _ADDRESS.match(text) else [text]
    ids = (part for part in reversed(parts) if record_id_of(part) is not None)
    return next((each for each in ids if any(map(str.isdigit, each))), None)


def _id(text: str, subscribers: Collection[str]) -> SearchTerm:
    if text.rpartition(":")[2] in subscribers:
        return SearchTerm(kind=TermKind.LETTER, path=f"/dead-letters/letter?{urlencode({'id': text})}")
    return SearchTerm(kind=TermKind.EVENT, path=f"/events/{quote(text, safe=':')}")


def _types(text: str) -> str:
    """Return the patterns of event types that `text` names, or an empty text."""
    if text.startswith("salesforce.") or "*" in text:
        return text
    if change := _CHANGE_EVENT.fullmatch(text):
        return f"*.{change[1]}{'__c' if change[2] else ''}.*"
    if _NAME.fullmatch(text):
        return f"*.{text}" if text.endswith("__e") else f"*.{text},*.{text}.*"
    return ""


def _time(text: str, now: float) -> SearchTerm | None:
    if _OTHER_DATE.fullmatch(text):
        raise NotUnderstood("Write a date as 2026-01-31, so that day and month can't be confused.")
    found = _ago(text, now) or _of_today(text, now) or _iso(text)
    if found is None:
        return None
    _check_range(found, now)
    if _DAY.fullmatch(text):
        following = _written(found + timedelta(days=1))
        return _events(TermKind.DAY, since=_written(found), until=following, order="oldest")
    return _events(TermKind.TIME, since=_written(found), order="oldest")


def _check_range(at: datetime, now: float) -> None:
    if at.timestamp() > now:
        raise NotUnderstood("This time is in the future: the log holds only events of the past.")
    if at.timestamp() < 0:
        raise NotUnderstood(_OUT_OF_RANGE)


def _ago(text: str, now: float) -> datetime | None:
    match = _AGO.fullmatch(text)
    if match is None:
        return None
    number = 1.0 if match["number"].lower().startswith("a") else float(match["number"])
    unit = _UNITS[match["unit"][0].lower()]
    try:
        return datetime.fromtimestamp(now, UTC) - timedelta(**{unit: number})
    except OverflowError:
        raise NotUnderstood(_OUT_OF_RANGE) from None


def _of_today(text: str, now: float) -> datetime | None:
    """Return the time of a clock, which is past, or a time of today or yesterday; `None` for other texts."""
    match = _CLOCK.fullmatch(text)
    if match is None:
        return None
    today = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    hours, minutes, seconds = [*map(int, (match["clock"] or "0:0").split(":")), 0][:3]
    try:
        found = today.replace(hour=hours, minute=minutes, second=seconds)
    except ValueError:
        raise NotUnderstood("This is not a time of a day: write hours and minutes as 09:30.") from None
    day = (match["day"] or "").lower()
    is_before = day == "yesterday" or (not day and found.timestamp() > now)
    return found - timedelta(days=1) if is_before else found


def _iso(text: str) -> datetime | None:
    if not _ISO.fullmatch(text):
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise NotUnderstood(
            f"{text} is not a date or a time: write 2026-01-31, or 2026-01-31T09:30."
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _written(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _events(kind: TermKind, **query: str) -> SearchTerm:
    return SearchTerm(kind=kind, path=f"/events?{urlencode(query)}")
