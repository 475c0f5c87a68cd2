"""Replies of a scripted target."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """HTTP answer. The reply's `Content-Type` is JSON unless `headers` has another type."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b'{"ok": true}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Echo:
    """HTTP answer whose body repeats the request's path, headers and body, as some error pages do."""

    status: int = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """Any bytes, valid HTTP or not, followed by the end of the connection."""

    content: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """No answer while the target is open."""


Answering = Reply | Echo | Raw | Silence
"""One kind of reply."""

HANG_UP = Raw()
"""Reply that closes the connection without an answer."""

CUT_OFF = Raw(
    content=b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"ok": t'
)
"""Reply that closes the connection in the middle of a valid answer."""
