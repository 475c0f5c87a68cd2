"""Document: the data of the configuration's files, with the place of each part."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamer.configuration.fingerprint import Fingerprints

Keys = tuple[int | str, ...]

_SECRET_KEY = re.compile(
    r"secret|password|passphrase|token|webhook|credential|authorization|(^|[_-])key$", re.IGNORECASE
)
_SHOWN = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """Data of the configuration's files, the place of each part, and the files' fingerprints when read.

    `indirect` are the keys whose values came from the environment or from
    another file.
    """

    data: Any
    places: Mapping[Keys, str] = field(default_factory=dict)
    indirect: frozenset[Keys] = frozenset()
    fingerprints: Fingerprints = field(default_factory=dict)

    def at(self, keys: Sequence[int | str]) -> Any:
        """Return the value at `keys`, or `None`."""
        data = self.data
        for key in keys:
            if not holds(data, key):
                return None
            data = data[key]
        return data

    def place(self, keys: Sequence[int | str]) -> str:
        """Return `file:line` of `keys`, or of the nearest section around it."""
        for length in range(len(keys), -1, -1):
            if place := self.places.get(tuple(keys[:length])):
                return place
        return "configuration"

    def is_secret(self, keys: Sequence[int | str]) -> bool:
        """Return true when the value at `keys` came from elsewhere, or the key has the name of a secret."""
        names = [key for key in keys if isinstance(key, str)]
        return tuple(keys) in self.indirect or any(_SECRET_KEY.search(name) for name in names[-1:])

    def shown(self, keys: Sequence[int | str]) -> str:
        """Return the value at `keys` for a message, short and without secrets; empty for a section."""
        if self.is_secret(keys):
            return "a value that is not shown"
        value = self.at(keys)
        if isinstance(value, dict | list):
            return ""
        text = "nothing" if value is None else repr(value)
        return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"

    def mistake(self, keys: Sequence[int | str], sentence: str) -> str:
        """Return the line of a message: the file, the line, the key and `sentence`."""
        return ": ".join(part for part in (self.place(keys), dotted(keys), sentence) if part)

    @staticmethod
    def merged(documents: Sequence["Document"]) -> "Document":
        """Return `documents` merged; later ones override earlier ones."""
        data: Any = {}
        places: dict[Keys, str] = {}
        indirect: set[Keys] = set()
        fingerprints: dict[Path, str] = {}
        for document in documents:
            data = _merge(data, document.data)
            places |= document.places
            indirect |= document.indirect
            fingerprints |= document.fingerprints
        return Document(data=data, places=places, indirect=frozenset(indirect), fingerprints=fingerprints)


def holds(data: Any, key: int | str) -> bool:
    """Return true when `data` is a mapping or a list with a value at `key`."""
    if isinstance(data, dict):
        return key in data
    return isinstance(data, list) and isinstance(key, int) and key < len(data)


def dotted(keys: Sequence[int | str]) -> str:
    """Return `keys` joined with dots."""
    return ".".join(map(str, keys))


def _merge(below: Any, above: Any) -> Any:
    if isinstance(below, dict) and isinstance(above, dict):
        return {**below, **{key: _merge(below.get(key), value) for key, value in above.items()}}
    return above
