"""Ids of orgs, events, records and subscribers, and positions in a channel."""

import re
from typing import Any, NewType

OrgId = NewType("OrgId", str)
"""The 18-character id of a Salesforce org."""

ReplayId = NewType("ReplayId", bytes)
"""Salesforce's position in a channel: opaque bytes, never computed with.

The integers of CometD are kept as their decimal digits in ASCII. Any other
bytes are a position of the Pub/Sub API.
"""

EventId = NewType("EventId", str)
"""Deterministic id of an event: reading the event again gives the same one."""

SubscriberName = NewType("SubscriberName", str)
"""The key of a subscriber in the configuration."""

JsonObject = dict[str, Any]

_CONTAINERS = (dict, list)


def json_copy(value: Any) -> Any:
    """Return a copy of JSON that shares no list and no object with `value`."""
    # A comprehension that asks before it calls takes half the time: most values are scalars.
    if type(value) is dict:
        return {k: json_copy(v) if type(v) in _CONTAINERS else v for k, v in value.items()}
    if type(value) is list:
        return [json_copy(v) if type(v) in _CONTAINERS else v for v in value]
    return value


_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?", re.ASCII)
_SUFFIXES = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
# The event of an overflow has this id (Change Data Capture guide, overflow events).
_NO_RECORD = "000000000000000AAA"


def short_id(record_id: str) -> str:
    """Return the 15 characters of an id that count: the last three of 18 only check the others."""
    return record_id[:15]


def record_id_of(value: object) -> str | None:
    """Return `value` as a record's id with 18 characters, or `None` for anything else than an id.

    The last three characters tell which of the others are capitals.
    """
    if not isinstance(value, str) or _ID.fullmatch(value) is None or value == _NO_RECORD:
        return None
    if len(value) > 15:  # noqa: PLR2004 - the number in the pattern
        return value
    parts = (value[begin : begin + 5] for begin in (0, 5, 10))
    return value + "".join(_SUFFIXES[_capitals(part)] for part in parts)


def _capitals(part: str) -> int:
    return sum(1 << place for place, letter in enumerate(part) if letter.isupper())
