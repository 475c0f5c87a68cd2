"""Answer of a target: bounded, and without our secrets."""

import re
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from typing import Any

import orjson

from streamer.events import FailureClass, JsonObject
from streamer.exact_json import exact_default, exact_value
from subscribers.http.complaint import complaint

EXCERPT_BYTES = 20_000
"""Largest part of an answer that a receipt or a dead letter keeps, in bytes."""

READ_BYTES = 1024 * 1024
"""Largest part of an answer that is read, in bytes."""

_LONGEST_CODE = 100

_BY_STATUS = {
    401: FailureClass.REFUSED_CREDENTIALS,
    403: FailureClass.REFUSED_CREDENTIALS,
    429: FailureClass.RATE_LIMITED,
}
_BY_HUNDREDS = {
    2: FailureClass.UNEXPECTED_ANSWER,
    3: FailureClass.HTTP_3XX,
    4: FailureClass.HTTP_4XX,
    5: FailureClass.HTTP_5XX,
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """HTTP response: at most `READ_BYTES` of its `body`, and the unparsed `retry_after`.

    `is_cut` is true for a body that is longer than that.
    """

    status: int
    body: bytes = b""
    retry_after: str | None = None
    is_cut: bool = False

    @property
    def status_line(self) -> str:
        """Status with its usual name, such as `404 Not Found`."""
        try:
            return f"{self.status} {HTTPStatus(self.status).phrase}"
        except ValueError:
            return str(self.status)

    @property
    def failure(self) -> FailureClass:
        """Class of the failure, where this answer is one."""
        return _BY_STATUS.get(self.status) or _BY_HUNDREDS.get(self.status // 100, FailureClass.OTHER)

    @property
    def excerpt(self) -> str:
        """Beginning of the body as text, at most `EXCERPT_BYTES` long."""
        return self.body[:EXCERPT_BYTES].decode(errors="ignore")

    @cached_property
    def json(self) -> JsonObject | None:
        """Body as a JSON object; `None` when it is anything else."""
        return self._value if isinstance(self._value, dict) else None

    @cached_property
    def _value(self) -> Any:
        try:
            return exact_value(self.body)
        except orjson.JSONDecodeError:
            return None

    @property
    def complaint(self) -> str:
        """The target's own words on the request; empty when it gives only a code."""
        words = complaint(self._value)
        return "" if _word(words) == self.code and " " not in words else words

    @property
    def receipt(self) -> JsonObject:
        """Members of the JSON object that fit into `EXCERPT_BYTES`, in their order.

        Large members are left out, so that a document's number survives
        beside ten thousand lines, and so are those nested too deeply to be
        written again. Empty when the body is no JSON object.
        """
        return fitting(self.json or {})

    @property
    def code(self) -> str:
        """The target's error code, in lower_snake_case; empty when there is none.

        It is `error`, `error.code`, `error.type`, `code`, or the last part of
        the `type` of RFC 9457 problem details.
        """
        found = self.json or {}
        error = found.get("error")
        if isinstance(error, dict):
            error = error.get("code") or error.get("type")
        return _word(error or found.get("code") or found.get("type"))


def fitting(found: JsonObject) -> JsonObject:
    """Return the members of `found` that fit into `EXCERPT_BYTES` together, in their order."""
    whole = _size(found)
    if whole is not None and whole <= EXCERPT_BYTES:
        return found
    kept: JsonObject = {}
    room = EXCERPT_BYTES
    for name, value in found.items():
        size = _size({name: value})
        if size is not None and size <= room:
            kept[name] = value
            room -= size
    return kept


def _size(found: JsonObject) -> int | None:
    """Return the bytes of `found` as JSON, `None` if it is nested more deeply than orjson writes."""
    try:
        return len(orjson.dumps(found, default=exact_default))
    except TypeError:
        return None


def _word(value: Any) -> str:
    if not isinstance(value, str):
        return ""
    last = value.rstrip("/").rpartition("/")[2]
    return re.sub(r"[^a-z0-9_.]", "_", last.strip().lower())[:_LONGEST_CODE]
