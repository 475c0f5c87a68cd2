"""Document: the data of the configuration's files, the place of each part, and the files' fingerprints."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_LARGEST = 64 * 1024 * 1024

Fingerprints = Mapping[Path, str]
"""Fingerprint of each file; empty for a file that could not be read."""


def fingerprint(path: Path) -> str:
    """Return the SHA-256 of the content of `path`; empty when it can't be read.

    The content counts, not the time: Kubernetes changes a mounted file by
    replacing a link, and tools restore times. A pipe is not read, because that
    would consume it, and of a file that is too large for a configuration the
    size and the time count.
    """
    if not path.is_file():
        return ""
    try:
        found = path.stat()
        if found.st_size > _LARGEST:
            return f"{found.st_size} bytes at {found.st_mtime_ns}"
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def fingerprints(paths: Iterable[Path]) -> Fingerprints:
    """Return the fingerprint of each of `paths`."""
    return {path: fingerprint(path) for path in paths}


Keys = tuple[int | str, ...]
HIDDEN = "a value that is not shown"
"""Words that stand in a message for a value that can be a secret."""
_SECRET_KEY = re.compile(
    r"secret|password|passphrase|token|webhook|credential|authorization|(^|[_-])key$", re.IGNORECASE
)
_SHOWN = 60
# A word without the characters that mark a user or a query in an address.
_WORD = re.compile(r"[^\s@?=&]*")
_KEY = re.compile(r"[\w.*/ -]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """Data of the configuration's files, the place of each part, and the files' fingerprints when read.

    `indirect` are the keys whose values came from the environment or from another
    file, as secrets do. `files` are the files with an expression, a template or a
    table, by the keys at which they are named; `secret_files` are all others.
    `mistakes` are the messages about values that could not be read; at their keys
    the data are an empty text.
    """

    data: Any
    places: Mapping[Keys, str] = field(default_factory=dict)
    indirect: frozenset[Keys] = frozenset()
    files: Mapping[Keys, Path] = field(default_factory=dict)
    secret_files: Mapping[Keys, Path] = field(default_factory=dict)
    mistakes: Mapping[Keys, str] = field(default_factory=dict)
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
        if names[:1] == ["hash_keys"]:
            return True
        return tuple(keys) in self.indirect or any(_SECRET_KEY.search(name) for name in names[-1:])

    def unread(self, keys: Keys) -> list[str]:
        """Return the messages about values at `keys` and below that could not be read."""
        return [line for at, line in self.mistakes.items() if at[: len(keys)] == keys]

    def shown(self, keys: Sequence[int | str]) -> str:
        """Return the value at `keys` for a message, empty for a section.

        It hides secrets, and texts that can contain one: an address with a user, a
        line of several words, a plugin's setting.
        """
        value = self.at(keys)
        if value is None:
            return "nothing"
        if self.is_secret(keys) or (isinstance(value, str) and not _is_harmless(keys, value)):
            return HIDDEN
        if isinstance(value, dict | list):
            return ""
        return repr(value)

    def mistake(self, keys: Sequence[int | str], sentence: str, *, at: tuple[int, ...] = (1,)) -> str:
        """Return the line of a message: the file, the line, the key and `sentence`.

        `at` is the line, and perhaps the column, within the text at `keys`. It is
        used if a file of its own holds that text; a text inside YAML has YAML's
        lines.
        """
        place = self.place(keys)
        if (path := self.files.get(tuple(keys))) is not None:
            place = ":".join(map(str, (path, *at)))
        return ": ".join(part for part in (place, dotted(keys), sentence) if part)

    @staticmethod
    def merged(documents: Sequence["Document"]) -> "Document":
        """Return `documents` merged; later ones override earlier ones."""
        data: Any = {}
        places: dict[Keys, str] = {}
        indirect: set[Keys] = set()
        files: dict[Keys, Path] = {}
        secret_files: dict[Keys, Path] = {}
        mistakes: dict[Keys, str] = {}
        fingerprints: dict[Path, str] = {}
        for document in documents:
            data = _merge(data, document.data)
            places |= document.places
            indirect |= document.indirect
            files = _kept(files, document) | dict(document.files)
            secret_files = _kept(secret_files, document) | dict(document.secret_files)
            mistakes |= document.mistakes
            fingerprints |= document.fingerprints
        return Document(
            data=data,
            places=places,
            indirect=frozenset(indirect),
            files=files,
            secret_files=secret_files,
            mistakes=mistakes,
            fingerprints=fingerprints,
        )


def _kept(files: Mapping[Keys, Path], above: Document) -> dict[Keys, Path]:
    """Return those of `files` whose keys `above` does not replace."""
    return {keys: path for keys, path in files.items() if above.at(keys) is None}


def _is_harmless(keys: Sequence[int | str], text: str) -> bool:
    match keys:
        case ("subscribers", _, "settings", *_):
            return False
        case _:
            return len(text) <= _SHOWN and _WORD.fullmatch(text) is not None


def holds(data: Any, key: int | str) -> bool:
    """Return true when `data` is a mapping or a list with a value at `key`."""
    if isinstance(data, dict):
        return key in data
    return isinstance(data, list) and isinstance(key, int) and key < len(data)


def overlaps(keys: Keys, others: Iterable[Keys]) -> bool:
    """Return true when one of `others` is `keys`, lies below it, or is a section around it."""
    return any(all(a == b for a, b in zip(keys, other, strict=False)) for other in others)


def dotted(keys: Sequence[int | str]) -> str:
    """Return `keys` joined with dots; a key that can be a whole line of another file is not shown."""
    return ".".join(str(key) if _KEY.fullmatch(str(key)) else "(a key that is not shown)" for key in keys)


def _merge(below: Any, above: Any) -> Any:
    if isinstance(below, dict) and isinstance(above, dict):
        return {**below, **{key: _merge(below.get(key), value) for key, value in above.items()}}
    return above
