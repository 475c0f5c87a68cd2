"""Patterns of errors: the words that all errors with one cause share, with a blank for each value."""

import re
from functools import lru_cache

LONGEST_ERROR = 300
"""Largest number of characters of an error that are compared and shown."""

_BLANK = "…"
_WHOLE = "="
# A status of HTTP stays, because 422 and 503 have different causes. Other numbers are values.
_VALUES = re.compile(
    r"""\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b
    |\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?
    |\b(?=[0-9A-Za-z]*\d)(?:[0-9A-Za-z]{18}|[0-9A-Za-z]{15})\b
    |\b[0-9a-f]{16,}\b
    |\b(?!(?:(?<=^)|(?<=answered\ )|(?<=http\ )|(?<=status\ ))[1-5]\d\d\b)\d+(?:[.,]\d+)*\b""",
    re.VERBOSE | re.IGNORECASE,
)


@lru_cache(maxsize=1_024)
def normalised(error: str) -> str:
    """Return `error` on one line, with a blank for each value that differs from event to event.

    Values are ids, times, numbers and characters that can't be shown.
    """
    line = " ".join(error[:LONGEST_ERROR].split())
    text = "".join(each if each.isprintable() else _BLANK for each in line)
    # The end of one value can be the beginning of the next.
    while (blanked := _VALUES.sub(_BLANK, text)) != text:
        text = blanked
    return text


def filter_of(error: str) -> str:
    """Return the filter that `is_error_like` takes for the errors with the same cause as `error`."""
    # The blank makes a command quote the filter; zsh takes a bare =word for the path of a program.
    return f"{_WHOLE} {normalised(error)}"


def is_whole(wanted: str) -> bool:
    """Return true for a filter that compares whole errors."""
    return wanted.startswith(_WHOLE)


def is_error_like(wanted: str, error: str) -> bool:
    """Return true if `error` contains `wanted`, in any letter case.

    With `=` before the text, the whole errors must be equal, except for their values.
    """
    if is_whole(wanted):
        return normalised(wanted.removeprefix(_WHOLE)) == normalised(error)
    return wanted.casefold() in error.casefold()
