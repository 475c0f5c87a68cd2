"""Ids of records, in the one form with 18 characters."""

import re

_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?", re.ASCII)
_SUFFIXES = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
# The event of an overflow has this id (Change Data Capture guide, overflow events).
_NO_RECORD = "000000000000000AAA"


def record_id_of(value: object) -> str | None:
    """Return `value` as an id with 18 characters, or `None` for anything else than an id.

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
