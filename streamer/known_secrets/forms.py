"""Forms of a secret: as it is, escaped, in base64, and parts of it that can be repeated alone."""

import json
from base64 import b64encode
from collections.abc import Iterator
from functools import lru_cache
from html import escape
from urllib.parse import quote, quote_plus, urlsplit
from xml.sax import saxutils

SHORTEST = 8
"""Fewest characters of a known secret; a shorter one is a word of many sentences."""

# The path of an address can be its secret, as a webhook's is; a short one is not.
_SHORTEST_PATH = 20
_SIGNING = "whsec_"


@lru_cache(maxsize=1024)
def forms_of(secret: str) -> frozenset[str]:
    """Return all forms of `secret`: as it is, escaped, and in base64 within another text."""
    return frozenset(form for part in _parts(secret) for form in (*written_forms(part), *_base64_forms(part)))


def written_forms(secret: str) -> tuple[str, ...]:
    """Return `secret` as it is, and escaped for JSON, HTML, XML or an address."""
    as_json = json.dumps(secret)[1:-1]
    quoted = quote(secret), quote(secret, safe=""), quote_plus(secret)
    return (
        secret,
        as_json,
        json.dumps(secret, ensure_ascii=False)[1:-1],
        as_json.replace("/", r"\/"),
        escape(secret),
        saxutils.escape(secret),
        saxutils.escape(secret, {'"': "&quot;", "'": "&apos;"}),
        saxutils.escape(secret, {'"': "&#34;", "'": "&#39;"}),
        *quoted,
        *(_with_small_digits(each) for each in quoted),
    )


def _with_small_digits(quoted: str) -> str:
    begin, *others = quoted.split("%")
    return begin + "".join(f"%{each[:2].lower()}{each[2:]}" for each in others)


def _base64_forms(secret: str) -> Iterator[str]:
    """Yield what base64 makes of `secret` in the middle of another text, such as `user:password`."""
    content = secret.encode()
    for before in range(3):
        shifted = bytes(before) + content
        whole = len(shifted) // 3 * 4
        # Left out are the characters that depend on the neighbours.
        middle = b64encode(shifted).decode()[(0, 2, 3)[before] : whole]
        yield middle
        yield middle.replace("+", "-").replace("/", "_")
        yield quote(middle, safe="")


def _parts(secret: str) -> Iterator[str]:
    """Yield `secret`, and the part of it that another could repeat alone."""
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
