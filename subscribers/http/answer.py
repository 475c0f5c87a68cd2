"""What a target answered: bounded, and without our secrets."""

import re
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from typing import Any

import orjson

from streamer.events import JsonObject

EXCERPT_BYTES = 20_000
"""How much of an answer is kept with a receipt or a dead letter."""

READ_BYTES = 1024 * 1024
"""How much of an answer is read at all."""

_LONGEST_CODE = 100


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One HTTP response: at most `READ_BYTES` of its `body`, and `retry_after` as it came."""

    status: int
    body: bytes = b""
    retry_after: str | None = None

    @property
    def status_line(self) -> str:
        """The status with its usual name, such as `404 Not Found`."""
        try:
            return f"{self.status} {HTTPStatus(self.status).phrase}"
        except ValueError:
            return str(self.status)

    @property
    def excerpt(self) -> str:
        """The beginning of the body as text, at most `EXCERPT_BYTES` long."""
        return self.body[:EXCERPT_BYTES].decode(errors="ignore")

    @cached_property
    def json(self) -> JsonObject | None:
        """The body as a JSON object; `None` when it is anything else."""
        try:
            value = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None
        return value if isinstance(value, dict) else None

    @property
    def receipt(self) -> JsonObject:
        """The members of the JSON object that fit into `EXCERPT_BYTES`, in their order.

        Large members are left out, so that a document's number survives
        beside ten thousand lines. Empty when there is no JSON object.
        """
        found = self.json or {}
        if len(self.body) <= EXCERPT_BYTES:
            return found
        return _fitting(found)

    @property
    def code(self) -> str:
        """The target's word for what went wrong, in lower_snake_case; empty when there is none.

        Found as `error`, `error.code`, `error.type`, `code`, or the last part of the
        `type` of RFC 9457 problem details.
        """
        found = self.json or {}
        error = found.get("error")
        if isinstance(error, dict):
            error = error.get("code") or error.get("type")
        return _word(error or found.get("code") or found.get("type"))


def _fitting(found: JsonObject) -> JsonObject:
    kept: JsonObject = {}
    room = EXCERPT_BYTES
    for name, value in found.items():
        size = len(orjson.dumps({name: value}))
        if size <= room:
            kept[name] = value
            room -= size
    return kept


def _word(value: Any) -> str:
    if not isinstance(value, str):
        return ""
    last = value.rstrip("/").rpartition("/")[2]
    return re.sub(r"[^a-z0-9_.]", "_", last.strip().lower())[:_LONGEST_CODE]
