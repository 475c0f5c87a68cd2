"""Secrets in a plugin's settings."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from streamer import known_secrets

_NAME_OF_A_SECRET = re.compile(
    r"(^|_)(secret|password|passphrase|token|api_?key|private_key)$", re.IGNORECASE
)

# A shorter text would be found in any sentence.
_SHORTEST = 4


def secrets_in(settings: BaseModel) -> frozenset[str]:
    """Return the secrets in `settings`, at any depth, except very short ones."""
    return frozenset(text for text in known_secrets.secrets_in(settings) if len(text) >= _SHORTEST)


def plain_secrets_in(settings: BaseModel) -> frozenset[str]:
    """Return the names of settings that sound like secrets but are plain texts."""
    found = (name for name, value in _values("", settings) if isinstance(value, str) and value)
    return frozenset(name for name in found if _NAME_OF_A_SECRET.search(name.rpartition(".")[2]))


def _values(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the parts of `value`, each with its dotted name."""
    if isinstance(value, BaseModel | Mapping):
        for key, part in dict(value).items():
            yield from _values(f"{name}.{key}".removeprefix("."), part)
    elif isinstance(value, list | tuple | set | frozenset):
        for part in value:
            yield from _values(name, part)
    else:
        yield name, value
