"""Secrets in use, which are removed from every text that comes from outside.

A proxy, a target or an Apex method can return a request's secrets in another form.
So secrets are removed where texts enter: from errors when they are created, from
outcomes of plugins, answers of the org, log lines and pages.
"""

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from html import escape
from threading import Lock
from typing import Any
from urllib.parse import quote, quote_plus, unquote_plus, urlsplit

from pydantic import BaseModel, Secret, SecretBytes, SecretStr

SHORTEST = 8
"""Fewest characters of a known secret; a shorter secret would match ordinary words."""

# The path of an address can be secret, as for a webhook; a short path is not secret.
_SHORTEST_PATH = 20
_SIGNING = "whsec_"
# The characters that yarl, and so aiohttp, leaves in a query.
_SAFE_IN_QUERY = "/?:@!$'()*,"
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
_SECRET_NAME = re.compile(r"(?:sig(?:nature)?|key|code|token|secret|auth)$|passw|credential", re.IGNORECASE)
_DIGIT_AND_LETTER = re.compile(r"(?=.*\d).*[A-Za-z]")
# A UUID names a tenant or a record, and is not a secret.
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_SHORTEST_RANDOM = 20


@lru_cache(maxsize=1024)
def forms_of(secret: str) -> frozenset[str]:
    """Return all forms of `secret`: unchanged, escaped, and in base64 within another text."""
    return frozenset(form for part in _parts(secret) for form in (*written_forms(part), *_base64_forms(part)))


def written_forms(secret: str) -> tuple[str, ...]:
    """Return `secret` unchanged, and escaped for JSON, HTML, XML or an address."""
    as_json = json.dumps(secret)[1:-1]
    quoted = quote(secret), quote(secret, safe=""), quote_plus(secret), quote_plus(secret, _SAFE_IN_QUERY)
    escaped = escape(secret, quote=False)
    return (
        secret,
        as_json,
        json.dumps(secret, ensure_ascii=False)[1:-1],
        as_json.replace("/", r"\/"),
        escape(secret),
        escaped,
        escaped.replace('"', "&quot;").replace("'", "&apos;"),
        escaped.replace('"', "&#34;").replace("'", "&#39;"),
        *quoted,
        *(_with_small_digits(each) for each in quoted),
    )


def _with_small_digits(quoted: str) -> str:
    begin, *others = quoted.split("%")
    return begin + "".join(f"%{each[:2].lower()}{each[2:]}" for each in others)


def _base64_forms(secret: str) -> Iterator[str]:
    """Yield the base64 of `secret` inside another text, such as `user:password`."""
    content = secret.encode()
    for before in range(3):
        shifted = bytes(before) + content
        whole = len(shifted) // 3 * 4
        # Leave out the characters that depend on the neighbouring text.
        middle = b64encode(shifted).decode()[(0, 2, 3)[before] : whole]
        yield middle
        yield middle.replace("+", "-").replace("/", "_")
        yield quote(middle, safe="")


def _parts(secret: str) -> Iterator[str]:
    """Yield `secret`, and those parts of it that could appear separately."""
    yield secret
    if secret.startswith(_SIGNING):
        yield secret.removeprefix(_SIGNING).rstrip("=")
    if "://" not in secret:
        return
    try:
        address = urlsplit(secret)
        password = address.password or ""
    except ValueError:
        return
    if len(password) >= SHORTEST:
        yield password
    if len(address.path) >= _SHORTEST_PATH:
        yield address.path


MASK = "***"
"""Replacement for a secret."""
_MASK = MASK.encode()
# Enough for tokens that are renewed for months; even an old token can still appear.
_MOST_RENEWED = 200


class KnownSecrets:
    """Set of secrets that a process uses, safe for threads.

    The set keeps all secrets from the configuration. Of secrets that are renewed, such
    as access tokens, it keeps only the latest.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._configured: set[str] = set()
        self._renewed: dict[str, None] = {}
        self._forms: tuple[tuple[str, bytes], ...] = ()

    def configure(self, values: Iterable[str]) -> None:
        """Add secrets from the configuration; very short secrets are ignored."""
        new = {value for value in values if len(value) >= SHORTEST}
        with self._lock:
            if not new <= self._configured:
                self._configured |= new
                self._collect()

    def renew(self, *values: str) -> None:
        """Add new secrets, such as an access token, before they are used."""
        with self._lock:
            for value in values:
                if len(value) >= SHORTEST:
                    self._renewed.pop(value, None)
                    self._renewed[value] = None
            for oldest in list(self._renewed)[:-_MOST_RENEWED]:
                del self._renewed[oldest]
            self._collect()

    def clear(self) -> None:
        """Forget all secrets."""
        with self._lock:
            self._configured, self._renewed, self._forms = set(), {}, ()

    def hidden(self, text: str) -> str:
        """Return `text` with `***` for each secret, in every form in which it can appear."""
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
        """Return `value` with `***` for each secret in its texts and keys, at any depth."""
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
        # Longest first, because one secret can be a part of another.
        self._forms = tuple(
            (form, form.encode()) for form in sorted(forms, key=lambda each: (-len(each), each))
        )


KNOWN = KnownSecrets()
"""Secrets of this process; one shared set, so that no part reveals a secret of another part."""


def secrets_in(settings: BaseModel) -> frozenset[str]:
    """Return the secrets in `settings` and in its addresses, at any depth, as texts."""
    return frozenset(_secret_texts(settings))


def _secret_texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield from _secrets_of_address(value)
        case SecretStr():
            yield value.get_secret_value()
        case SecretBytes():
            yield value.get_secret_value().decode(errors="replace")
        case Secret():
            yield str(value.get_secret_value())
        case BaseModel():
            yield from _secret_texts(dict(value))
        case Mapping():
            yield from _secret_texts(tuple(value.values()))
        case list() | tuple() | set() | frozenset():
            for part in value:
                yield from _secret_texts(part)


def _secrets_of_address(text: str) -> Iterator[str]:
    """Yield the secrets of an address: its password, and the secrets in its query.

    A value in the query that looks random, such as a signature or a key, is a secret.
    Any other value, such as a date or a region, is masked only together with its name,
    because receipts that contain the same value must stay unchanged.
    """
    if not _ADDRESS.fullmatch(text):
        return
    try:
        address = urlsplit(text)
        yield address.password or ""
    except ValueError:
        return
    for pair in address.query.split("&"):
        name, _, value = pair.partition("=")
        # A placeholder is replaced by a value of the event.
        if "{" in value:
            continue
        is_named = _SECRET_NAME.search(name) or len(value) >= _SHORTEST_RANDOM
        # An ordinary word or an id is in other texts, too.
        is_secret = is_named and _DIGIT_AND_LETTER.match(value) and not _UUID.fullmatch(value)
        secret = value if is_secret else pair
        yield from {secret, unquote_plus(secret)}
