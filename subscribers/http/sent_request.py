"""Request as it was sent, described without secrets for the record of a failed attempt."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field, replace
from hashlib import sha256
from urllib.parse import urlsplit

from yarl import URL

from streamer.events import AttemptExchange, Hold, Outcome, Reject, Retry
from streamer.events.event import value_of_every_event
from streamer.known_secrets import KNOWN, MASK
from subscribers.http.redaction import Redaction

# A part of a configured path can be a secret if it is long, or if it mixes letters and digits.
_LONG = 16
_MIXED = re.compile(r"(?!v[\d.]+\Z)(?=.*\d)(?=.*[A-Za-z]).{5,}")
# After such a name, everything in a path can be secret, because the address is the permission.
_HOOK = re.compile(r"(?:web)?hooks?\w*", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"\{[^{}]*\}")
_DIGITS = 16


def secret_parts(urls: Iterable[str]) -> Iterator[str]:
    """Yield the parts of the configured paths in `urls` that can be secrets; placeholders are not parts."""
    for url in urls:
        for path in (urlsplit(url).path, URL(url).path):
            parts = (part for segment in path.split("/") for part in _PLACEHOLDER.split(segment))
            yield from (part for part in parts if _can_be_secret(part))


def _can_be_secret(part: str) -> bool:
    return not _HOOK.fullmatch(part) and (len(part) >= _LONG or bool(_MIXED.fullmatch(part)))


@value_of_every_event
class SentRequest:
    """Request without its headers and credentials; its repr shows neither the URL nor the content.

    `redaction` removes secrets from the content, and `parts` removes possible secrets
    in the configured paths from the address.
    """

    method: str
    url: URL = field(repr=False)
    content: bytes = field(repr=False)
    redaction: Redaction
    parts: Redaction

    def exchange(
        self, status: int | None = None, headers: Mapping[str, str] | None = None
    ) -> AttemptExchange:
        """Return the exchange that the request began; without an answer, it has no `status`."""
        # A secret in the content must not be guessed with the help of the digest.
        content = KNOWN.hidden_bytes(self.redaction(self.content))
        return AttemptExchange(
            request=f"{self.method} {self._address}",
            size=len(self.content),
            digest=sha256(content).hexdigest()[:_DIGITS] if content else "",
            status=status,
            headers={name: self._redacted(value) for name, value in (headers or {}).items()},
        ).bounded

    @property
    def _address(self) -> str:
        url = self.url
        host = url.raw_authority.rpartition("@")[2]
        path = _before_secrets(url.raw_host or "", self._redacted(url.raw_path).removeprefix("/"))
        shown = f"{url.scheme}://{host}/{self.parts(path.encode()).decode()}"
        # Of a query, the exchange keeps only the names.
        return f"{shown}?{url.raw_query_string}" if url.raw_query_string else shown

    def _redacted(self, text: str) -> str:
        return KNOWN.hidden(self.redaction(text.encode(errors="replace")).decode(errors="replace"))


def _before_secrets(host: str, path: str) -> str:
    """Return `path` with a mask for everything that follows the name of a webhook."""
    if path and any(map(_HOOK.fullmatch, host.split("."))):
        return MASK
    kept: list[str] = []
    for segment in path.split("/"):
        if kept and _HOOK.fullmatch(kept[-1]):
            return "/".join((*kept, MASK))
        kept.append(segment)
    return "/".join(kept)


def with_exchange(outcome: Outcome, exchange: AttemptExchange | None) -> Outcome:
    """Return `outcome` with the `exchange`, if the outcome is a failure without one."""
    if exchange is None or not isinstance(outcome, Retry | Hold | Reject) or outcome.exchange is not None:
        return outcome
    return replace(outcome, exchange=exchange)
