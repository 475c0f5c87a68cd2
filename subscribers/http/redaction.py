"""Redaction: removes known secrets from a target's answers."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape
from typing import Self
from urllib.parse import quote, quote_plus
from xml.sax import saxutils

MASK = "***"
"""Stands for a secret."""

_MASK = MASK.encode()

# Blanking out a very short "secret" would garble answers and protect nothing.
_SHORTEST = 4


@dataclass(frozen=True, slots=True)
class Redaction:
    """Removes known secrets from bytes, in every form in which a target can echo them."""

    forms: tuple[bytes, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, secrets: Iterable[str]) -> Self:
        """Return the redaction of `secrets`, verbatim and escaped for JSON, HTML, XML or a URL."""
        forms = {form.encode() for secret in secrets if len(secret) >= _SHORTEST for form in _forms(secret)}
        # The longest first: one secret can be a part of another.
        return cls(tuple(sorted(forms, key=len, reverse=True)))

    def __or__(self, other: "Redaction") -> "Redaction":
        """Return the redaction of the secrets of both."""
        if not other.forms:
            return self
        return Redaction(tuple(sorted({*self.forms, *other.forms}, key=len, reverse=True)))

    def __call__(self, body: bytes) -> bytes:
        """Return `body` with each secret replaced by `***`."""
        for form in self.forms:
            body = body.replace(form, _MASK)
        return body


def _forms(secret: str) -> tuple[str, ...]:
    as_json = json.dumps(secret)[1:-1]
    return (
        secret,
        as_json,
        json.dumps(secret, ensure_ascii=False)[1:-1],
        as_json.replace("/", r"\/"),
        escape(secret),
        saxutils.escape(secret),
        saxutils.escape(secret, {'"': "&quot;", "'": "&apos;"}),
        saxutils.escape(secret, {'"': "&#34;", "'": "&#39;"}),
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
    )
