"""Reads events from a file or the standard input, in every form that Streamer prints."""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from streamer.cli.publishing.parser import STDIN, EventParser, InputRefused, Read
from streamer.errors import ConfigurationError
from streamer.events import Event, EventId, JsonObject, ReplayId
from streamer.exact_json import exact_json, exact_value

_CHUNK = 64 * 1024
_KINDS = {
    "CREATE": "created",
    "UPDATE": "updated",
    "DELETE": "deleted",
    "UNDELETE": "undeleted",
    "SNAPSHOT": "snapshot",
}
_GAP = "GAP_"
_NO_WORD = re.compile(r"\W", re.ASCII)
_TEXTS = ("id", "source", "type", "time")
_KNOWN = frozenset(
    {
        *("specversion", "datacontenttype", "subject", "key", "channel", "replay_id", "data", "v"),
        *("sfchannel", "sfreplayid", "receipts", *_TEXTS),
    }
)

EventFile = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help=(
            "File with events in JSON: one event, a list, or one event per line; - stands for the "
            "standard input."
        ),
    ),
]
EventType = Annotated[
    str | None,
    typer.Option(
        "--type",
        metavar="TYPE",
        help="Event type for events in FILE that name no type.",
        show_default="derived from the data",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenEvent:
    """Event of a file with its receipts. `more` holds further members, such as looked-up records."""

    event: Event
    more: JsonObject = field(default_factory=dict)


def events_of(path: Path, event_type: str | None) -> Iterator[GivenEvent]:
    """Yield the events in the file `path`. Raises `ConfigurationError`.

    An event is a CloudEvent, an event of the admin API, a dead letter, or only an
    event's data (the value of a record in Kafka). Data without a type get
    `event_type`, or else a type derived from the data.
    """
    try:
        with _opened(path) as file:
            for each in _parsed(path, file):
                yield _given(path, each, event_type)
    except InputRefused as error:
        raise ConfigurationError(f"{path}: {error}") from None


def event_given(fields: JsonObject, event_type: str | None) -> GivenEvent:
    """Return the event in `fields`, in any of the forms that `events_of` reads. Raises `ValueError`."""
    try:
        return _event(exact_value(exact_json(fields)), event_type)
    except TypeError as error:
        raise ValueError(str(error)) from None


def absence(absent: Sequence[str]) -> str:
    """Return a sentence that lists the names missing in a file, with the remedy."""
    return (
        f"the file has no {', no '.join(absent)} for this event: add "
        f"{'them' if len(absent) > 1 else 'it'} beside the event's data"
    )


def _parsed(path: Path, file: BinaryIO) -> Iterator[Read]:
    parser = EventParser()
    while chunk := _read(path, file):
        yield from parser.fed(chunk)
    yield from parser.ended()


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    if path == STDIN:
        yield sys.stdin.buffer
        return
    try:
        file = path.open("rb")
    except OSError as error:
        raise ConfigurationError(f"{path}: can't be read: {error.strerror}") from error
    with file:
        yield file


def _read(path: Path, file: BinaryIO) -> bytes:
    try:
        return file.read(_CHUNK)
    except OSError as error:
        raise ConfigurationError(f"{path}: can't be read: {error.strerror}") from error


def _given(path: Path, read: Read, event_type: str | None) -> GivenEvent:
    if read.fields is None:
        raise ConfigurationError(f"{path}: line {read.line}: {read.mistake}")
    try:
        # As in the daemon, a decimal number becomes a float if the float holds all its digits.
        return _event(exact_value(exact_json(read.fields)), event_type)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{path}: line {read.line}: {error}") from None


def _event(given: JsonObject, event_type: str | None) -> GivenEvent:
    if isinstance(given.get("event"), dict) and "data" not in given:
        # A dead letter holds its event as a member.
        given = given["event"]
    receipts = given.get("receipts")
    if receipts is not None and not isinstance(receipts, dict):
        raise ValueError("the event's receipts are not a JSON object")
    is_whole = isinstance(given.get("data"), dict) and "entity" not in given
    if not is_whole:
        return GivenEvent(event=_of_data(given, event_type))
    more = {name: value for name, value in given.items() if name not in _KNOWN}
    if "type" not in given:
        of_data = replace(_of_data(given["data"], event_type), receipts=receipts)
        return GivenEvent(event=of_data, more=more)
    if odd := [name for name in _TEXTS if not isinstance(given.get(name, ""), str)]:
        raise ValueError(f"the event's {odd[0]} is not a text")
    data, subject = given["data"], given.get("subject")
    return GivenEvent(
        event=Event(
            id=EventId(given.get("id") or _id(data)),
            source=given.get("source") or "/salesforce/example",
            type=given["type"],
            subject=None if subject is None else str(subject),
            time=given.get("time") or "1970-01-01T00:00:00.000Z",
            key=str(given.get("key") or subject or given.get("id") or _id(data)),
            channel=str(given.get("sfchannel") or given.get("channel") or "/data/ChangeEvents"),
            replay_id=ReplayId(str(given.get("sfreplayid") or given.get("replay_id") or "0").encode()),
            data=data,
            receipts=receipts,
        ),
        more=more,
    )


def _of_data(data: JsonObject, event_type: str | None) -> Event:
    found = event_type or _type(data)
    subject = data.get("record_id")
    return Event(
        id=_id(data),
        source="/salesforce/example",
        type=found,
        subject=None if subject is None else str(subject),
        time="1970-01-01T00:00:00.000Z",
        key=str(subject or _id(data)),
        channel="/data/ChangeEvents",
        replay_id=ReplayId(b"0"),
        data=data,
    )


def _type(data: JsonObject) -> str:
    """Return the event type derived from `data`; raises `ValueError`."""
    entity, change = data.get("entity"), data.get("change")
    if not isinstance(entity, str) or not entity:
        raise ValueError("is not an event: it has neither the keys type and data, nor the key entity")
    if isinstance(change, str) and (change in _KINDS or change.startswith(_GAP)):
        return f"salesforce.cdc.{entity}.{_KINDS.get(change, 'gap')}"
    if isinstance(change, str):
        return f"salesforce.topic.{entity}.{change}"
    if "payload" in data:
        return f"salesforce.generic.{_NO_WORD.sub('_', entity.removeprefix('/u/'))}"
    return f"salesforce.{'outbound' if 'action_id' in data else 'event'}.{entity}"


def _id(data: Mapping[str, Any]) -> EventId:
    transaction = data.get("transaction")
    if not isinstance(transaction, dict):
        return EventId(str(data.get("record_id") or "example"))
    return EventId(f"{transaction.get('key')}:{transaction.get('sequence')}:{data.get('record_id')}")
