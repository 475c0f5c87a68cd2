"""Redaction of known secrets in bytes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from streamer.known_secrets import MASK, written_forms

_MASK = MASK.encode()

# Removing a very short "secret" would garble answers and protect nothing.
_SHORTEST = 4


@dataclass(frozen=True, slots=True)
class Redaction:
    """Removes known secrets from bytes, in every form in which a target can repeat a secret."""

    forms: tuple[bytes, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, secrets: Iterable[str]) -> Self:
        """Return the redaction of `secrets`, verbatim and escaped for JSON, HTML, XML or a URL."""
        forms = {
            form.encode() for secret in secrets if len(secret) >= _SHORTEST for form in written_forms(secret)
        }
        # The longest form comes first, because one secret can be a part of another.
        return cls(tuple(sorted(forms, key=len, reverse=True)))

    def __or__(self, other: Redaction) -> Redaction:
        """Return a redaction that removes the secrets of both redactions."""
        if not other.forms:
            return self
        return Redaction(tuple(sorted({*self.forms, *other.forms}, key=len, reverse=True)))

    def __call__(self, body: bytes) -> bytes:
        """Return `body` with each secret replaced by `***`."""
        for form in self.forms:
            body = body.replace(form, _MASK)
        return body
