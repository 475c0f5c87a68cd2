"""Registry of the secrets in use, and the secrets that settings hold."""

from collections.abc import Iterable, Iterator, Mapping
from threading import Lock
from typing import Any

from pydantic import BaseModel, Secret, SecretBytes, SecretStr

from streamer.known_secrets.forms import SHORTEST, forms_of

MASK = "***"
"""Stands for a secret."""

_MASK = MASK.encode()

# Tokens that are renewed for months; one that was used up can still be told late.
_MOST_RENEWED = 200


class KnownSecrets:
    """Set of secrets that a process uses, safe for threads.

    Values of the configuration stay; of those that are renewed, the latest stay.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._configured: set[str] = set()
        self._renewed: dict[str, None] = {}
        self._forms: tuple[tuple[str, bytes], ...] = ()

    def configure(self, values: Iterable[str]) -> None:
        """Add secrets of the configuration; very short ones are left out."""
        new = {value for value in values if len(value) >= SHORTEST}
        with self._lock:
            if not new <= self._configured:
                self._configured |= new
                self._collect()

    def renew(self, *values: str) -> None:
        """Add secrets that were just got, such as an access token, before they are used."""
        with self._lock:
            for value in values:
                if len(value) >= SHORTEST:
                    self._renewed.pop(value, None)
                    self._renewed[value] = None
            for oldest in list(self._renewed)[:-_MOST_RENEWED]:
                del self._renewed[oldest]
            self._collect()

    def clear(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._configured, self._renewed, self._forms = set(), {}, ()

    def hidden(self, text: str) -> str:
        """Return `text` with `***` for each secret, in every form in which it can be repeated."""
        for form, _ in self._forms:
            if form in text:
                text = text.replace(form, MASK)
        return text

    def hidden_bytes(self, body: bytes) -> bytes:
        """Return `body` with `***` for each secret."""
        for _, form in self._forms:
            if form in body:
                body = body.replace(form, _MASK)
        return body

    def hidden_in(self, value: Any) -> Any:
        """Return `value` with `***` for each secret in its texts, keys included, at any depth."""
        match value:
            case str():
                return self.hidden(str.__str__(value))
            case Mapping():
                return {self.hidden_in(key): self.hidden_in(item) for key, item in value.items()}
            case list() | tuple():
                return [self.hidden_in(item) for item in value]
            case _:
                return value

    def _collect(self) -> None:
        forms = {form for value in (*self._configured, *self._renewed) for form in forms_of(value)}
        # The longest first: one secret can be a part of another.
        self._forms = tuple(
            (form, form.encode()) for form in sorted(forms, key=lambda each: (-len(each), each))
        )


KNOWN = KnownSecrets()
"""Secrets of this process: one set, as a process has one log, so that no part tells what another knows."""


def secrets_in(settings: BaseModel) -> frozenset[str]:
    """Return the secrets in `settings`, at any depth, as texts."""
    return frozenset(_secret_texts(settings))


def _secret_texts(value: Any) -> Iterator[str]:
    match value:
        case SecretStr():
            yield value.get_secret_value()
        case SecretBytes():
            yield value.get_secret_value().decode(errors="replace")
        case Secret():
            yield str(value.get_secret_value())
        case BaseModel():
            for _, part in value:
                yield from _secret_texts(part)
        case Mapping():
            for part in value.values():
                yield from _secret_texts(part)
        case list() | tuple() | set() | frozenset():
            for part in value:
                yield from _secret_texts(part)
