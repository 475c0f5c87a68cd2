"""Complaint: the target's own message about a request that it refuses."""

from collections.abc import Iterator
from typing import Any

LONGEST = 500
"""Largest number of characters of a target's message that a reason repeats."""

_MOST_ERRORS = 3
_DEEPEST = 4
# RFC 9457 uses title and detail, OAuth 2.0 uses error and error_description, and Salesforce
# uses message and errorCode.
_TITLES = ("title", "errorCode", "error_code")
_WORDS = ("detail", "message", "error_description", "errorMessage", "error_message", "description", "reason")
_PARTS = ("error", "errors", "fault")


def complaint(value: Any) -> str:
    """Return the error messages in `value`, the parsed body of an answer; empty if there are none.

    The messages are shortened and their white space is changed; their words stay the
    same.
    """
    told = list(dict.fromkeys(filter(None, map(_line, _words(value)))))
    words = "; ".join(told[:_MOST_ERRORS])
    return words if len(words) <= LONGEST else words[: LONGEST - 1] + "…"


def _words(value: Any, depth: int = 0) -> Iterator[str]:
    """Yield the message of each error in `value`."""
    if depth > _DEEPEST:
        return
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value[: 2 * _MOST_ERRORS]:
            yield from _words(each, depth + 1)
    elif isinstance(value, dict):
        yield from _words_of_object(value, depth)


def _words_of_object(value: dict[str, Any], depth: int) -> Iterator[str]:
    title, words = _first(value, _TITLES), _first(value, _WORDS)
    if words and title and title not in words:
        yield f"{title}: {words}"
    elif words or title:
        yield words or title
    for name in _PARTS:
        part = value.get(name)
        # If there is a description, `error` is only a code.
        if part is not None and not (isinstance(part, str) and words):
            yield from _words(part, depth + 1)


def _first(value: dict[str, Any], names: tuple[str, ...]) -> str:
    return next((found for name in names if isinstance(found := value.get(name), str) and found), "")


def _line(text: str) -> str:
    return " ".join(text.split())
