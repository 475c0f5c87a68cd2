"""Conditional requests: answers without a body, and refusals of changes to an outdated state.

The source is the REST API guide, conditional request headers. Salesforce sends ETags
only for accounts, and ignores conditions of a DELETE.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

import orjson

from streamer.sandbox.org.records import Record
from streamer.sandbox.rest.call import RestCall, SandboxResponse

_TAGS = re.compile(r'\s*(?:"[^"]*"\s*(?:,\s*"[^"]*"\s*)*|\*\s*)')
_TAG = re.compile(r'"([^"]*?)(?:-gzip|-deflate)?"')
_READING = frozenset({"GET", "HEAD"})
_NOT_MODIFIED, _FAILED, _BAD_REQUEST = (
    SandboxResponse(status=304),
    SandboxResponse(status=412),
    SandboxResponse(status=400),
)


def validators(type_name: str, record: Record) -> dict[str, str]:
    """Return the headers by which a client recognises this state of a record."""
    headers = modified(datetime.fromisoformat(record["SystemModstamp"]).timestamp())
    if type_name == "Account":
        digest = hashlib.sha1(orjson.dumps(record), usedforsecurity=False).digest()
        headers["ETag"] = f'"{base64.b64encode(digest).decode()}"'
    return headers


def modified(epoch_s: float) -> dict[str, str]:
    """Return a time as a Last-Modified header, in whole seconds."""
    return {"Last-Modified": format_datetime(datetime.fromtimestamp(int(epoch_s), UTC), usegmt=True)}


def early_answer(call: RestCall, current: Mapping[str, str]) -> SandboxResponse | None:
    """Return the answer to a call if the `current` validators do not meet its conditions, or `None`.

    A change with an unreadable condition is a bad request; a read ignores such a
    condition.
    """
    reading = call.method in _READING
    if not reading and _is_unreadable(call):
        return _BAD_REQUEST
    tag = _TAG.match(current.get("ETag", ""))
    if tag is not None:
        must, must_not = (_tags(call, name) for name in ("If-Match", "If-None-Match"))
        if must is not None and not must & {tag[1], "*"}:
            return _FAILED
        if must_not is not None and must_not & {tag[1], "*"}:
            return _NOT_MODIFIED if reading else _FAILED
    changed_at = parsedate_to_datetime(current["Last-Modified"])
    since, until = (_time(call, name) for name in ("If-Modified-Since", "If-Unmodified-Since"))
    if until is not None and changed_at > until:
        return _FAILED
    return _NOT_MODIFIED if reading and since is not None and changed_at <= since else None


def _is_unreadable(call: RestCall) -> bool:
    headers = call.headers
    tags = (headers[name] for name in ("If-Match", "If-None-Match") if name in headers)
    until = "If-Unmodified-Since"
    return any(_TAGS.fullmatch(text) is None for text in tags) or (
        until in headers and _time(call, until) is None
    )


def _tags(call: RestCall, name: str) -> set[str] | None:
    text = call.headers.get(name)
    if text is None or _TAGS.fullmatch(text) is None:
        return None
    return {"*"} if text.strip() == "*" else {found[1] for found in _TAG.finditer(text)}


def _time(call: RestCall, name: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(call.headers.get(name, ""))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
