"""Event (one change to one record, or one message), its channel, the start of reading, and ids."""

import binascii
import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NewType, TypeVar, dataclass_transform

from streamer.channel_paths import ChannelKind

OrgId = NewType("OrgId", str)
"""The 18-character id of a Salesforce org."""

ReplayId = NewType("ReplayId", bytes)
"""Salesforce's position in a channel: opaque bytes, never used for arithmetic.

Integers from CometD are stored as decimal digits in ASCII. Any other bytes are
a position of the Pub/Sub API.
"""

EventId = NewType("EventId", str)
"""Deterministic id of an event: the same event always has the same id."""

SubscriberName = NewType("SubscriberName", str)
"""Name of a subscriber, its key in the configuration."""

JsonObject = dict[str, Any]

_CONTAINERS = (dict, list)
_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?", re.ASCII)
_SUFFIXES = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
# The event of an overflow has this record id (Change Data Capture guide, overflow events).
_NO_RECORD = "000000000000000AAA"

LONGEST_REPLAY_ID = 256
"""Largest number of bytes of a replay id that is accepted; Salesforce's own replay ids have ten bytes."""

_BASE64 = "base64:"

# A platform event can be named `gap`.
_CHANGES = "salesforce.cdc."
_RECORDS = (_CHANGES, "salesforce.topic.")

_Class = TypeVar("_Class")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def value_of_every_event(cls: type[_Class]) -> type[_Class]:
    """Make `cls` a dataclass that is frozen only for the type checker.

    Python sets each field of a frozen dataclass with a call. These calls would take
    1 µs of the 12 µs for parsing, normalising and encoding one event.
    """
    return dataclass(slots=True, kw_only=True)(cls)


@value_of_every_event
class Event:
    """One change to one record, or one message: a CloudEvents 1.0 event.

    `time` is RFC 3339 in UTC with milliseconds: the commit time or, for a record in
    a snapshot, the time at which the record was read. Events with the same `key`
    stay in order. `channel` (a path) and `replay_id` are the event's position. If
    the same change is read elsewhere, the event differs only in its position. A
    forwarded event has `receipts` with the result at each earlier subscriber, by
    name.
    """

    id: EventId
    source: str
    type: str
    subject: str | None
    time: str
    key: str
    channel: str
    replay_id: ReplayId
    data: JsonObject
    receipts: JsonObject | None = None

    @property
    def is_change(self) -> bool:
        """True for a change event, and for a record that was read instead of a change event."""
        return self.type.startswith(_CHANGES)

    @property
    def is_gap(self) -> bool:
        """True for a change event without values: Salesforce withheld the changes."""
        return self.is_change and self.type.endswith(".gap")

    @property
    def is_deletion(self) -> bool:
        """True for the change event or the PushTopic notification of a deletion."""
        return self.type.startswith(_RECORDS) and self.type.endswith(".deleted")


class Start(StrEnum):
    """Position at which reading begins if no other position is known."""

    LATEST = "latest"
    EARLIEST = "earliest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One subscription path of one org, such as `/data/ChangeEvents`."""

    org: OrgId
    path: str

    @property
    def retention_s(self) -> float:
        """Time in seconds for which Salesforce retains the events of this channel."""
        return ChannelKind.of(self.path).retention_s

    def expires_at(self, verified_at: float) -> float:
        """Return when Salesforce can drop the events after `verified_at`; both are epoch seconds."""
        return verified_at + self.retention_s

    def expires_soon(self, verified_at: float, now: float) -> bool:
        """Return true in the last third of the retention: the last of 3 days, or the last 8 of 24 hours.

        An alert of Prometheus fires at the same time.
        """
        return self.expires_at(verified_at) - now < self.retention_s / 3

    def __str__(self) -> str:
        """Return the org and the path, which is the key of this channel in the log."""
        return f"{self.org}{self.path}"


def replay_id_to_text(replay_id: ReplayId) -> str:
    """Return `replay_id` as text: printable ASCII unchanged, other bytes as `base64:…`."""
    if replay_id.isascii():
        text = replay_id.decode("ascii")
        if text.isprintable() and not text.startswith(_BASE64):
            return text
    # Every event of the Pub/Sub API passes here, and this takes half the time of base64.b64encode.
    return _BASE64 + binascii.b2a_base64(replay_id, newline=False).decode("ascii")


def replay_id_from_text(text: str) -> ReplayId:
    """Return the replay id that `replay_id_to_text` wrote. Raises `ValueError`."""
    if text.startswith(_BASE64):
        return ReplayId(binascii.a2b_base64(text[len(_BASE64) :], strict_mode=True))
    return ReplayId(text.encode("ascii"))


def is_of_cometd(replay_id: ReplayId) -> bool:
    """Return true for a position from CometD; only CometD's positions are decimal digits."""
    return replay_id.isdigit()


def optional_replay_text(replay_id: ReplayId | None) -> str | None:
    """Return `replay_id` as text, or `None`."""
    return None if replay_id is None else replay_id_to_text(replay_id)


def optional_replay_id(text: str | None) -> ReplayId | None:
    """Return the replay id in `text`, or `None`. Raises `ValueError`."""
    return None if text is None else replay_id_from_text(text)


def json_copy(value: Any) -> Any:
    """Return a copy of a JSON value that shares no list and no object with `value`."""
    # Checking the type before the call takes half the time, because most values are scalars.
    if type(value) is dict:
        return {k: json_copy(v) if type(v) in _CONTAINERS else v for k, v in value.items()}
    if type(value) is list:
        return [json_copy(v) if type(v) in _CONTAINERS else v for v in value]
    return value


def short_id(record_id: str) -> str:
    """Return the 15 characters of an id that identify the record; the last three of 18 are a checksum."""
    return record_id[:15]


def record_id_of(value: object) -> str | None:
    """Return `value` as a record id with 18 characters, or `None` if `value` is not an id.

    The last three characters encode which of the first 15 characters are capitals.
    """
    if not isinstance(value, str) or _ID.fullmatch(value) is None or value == _NO_RECORD:
        return None
    if len(value) > 15:  # noqa: PLR2004 - the number in the pattern
        return value
    parts = (value[begin : begin + 5] for begin in (0, 5, 10))
    return value + "".join(_SUFFIXES[_capitals(part)] for part in parts)


def _capitals(part: str) -> int:
    return sum(1 << place for place, letter in enumerate(part) if letter.isupper())
