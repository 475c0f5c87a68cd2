"""Replies of a scripted target."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """HTTP answer; its `Content-Type` is JSON unless `headers` name another type."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b'{"ok": true}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Echo:
    """HTTP answer whose body repeats the request's path, headers and body, as some error pages do."""

    status: int = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """Bytes that need not be HTTP, after which the connection is closed."""

    content: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """No answer for as long as the target is open."""


Answering = Reply | Echo | Raw | Silence
"""One kind of reply."""

HANG_UP = Raw()
"""Reply that closes the connection without an answer."""

CUT_OFF = Raw(
    content=b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"ok": t'
)
"""Reply that closes the connection in the middle of a good answer."""
