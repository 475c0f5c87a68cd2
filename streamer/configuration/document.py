"""Document: the merged data of the configuration's files, with file and line of each part."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_LARGEST = 64 * 1024 * 1024

Fingerprints = Mapping[Path, str]
"""Fingerprint of each file; empty for an unreadable file."""


def fingerprint(path: Path) -> str:
    """Return the SHA-256 of the content of `path`, or an empty text for an unreadable file.

    The fingerprint depends on the content and not on the file's time. Kubernetes
    changes a mounted file by replacing a link, and some tools restore a file's time. A
    pipe is not read, because reading would consume its content. The fingerprint of a
    file that is too large for a configuration depends on its size and time.
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
"""Words that replace a possible secret in a message."""
_SECRET_KEY = re.compile(
    r"secret|password|passphrase|token|webhook|credential|authorization|(^|[_-])key$", re.IGNORECASE
)
_SHOWN = 60
# A word without the characters for a user or a query in an address.
_WORD = re.compile(r"[^\s@?=&]*")
_KEY = re.compile(r"[\w.*/ -]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """Merged data of the configuration's files, with file and line of each part, and fingerprints.

    `indirect` holds the keys whose values came from the environment or another file, as
    secrets do. `files` maps keys to the files with an expression, a template or a
    table; `secret_files` maps keys to all other files. `mistakes` maps keys to messages
    about unreadable values; in `data`, an empty text replaces such a value. `sources`
    are the absolute paths of the files that were merged.
    """

    data: Any
    places: Mapping[Keys, str] = field(default_factory=dict)
    indirect: frozenset[Keys] = frozenset()
    files: Mapping[Keys, Path] = field(default_factory=dict)
    secret_files: Mapping[Keys, Path] = field(default_factory=dict)
    mistakes: Mapping[Keys, str] = field(default_factory=dict)
    fingerprints: Fingerprints = field(default_factory=dict)
    sources: tuple[Path, ...] = ()

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
        """Return true for a value from the environment or another file, or with a secret's key name."""
        names = [key for key in keys if isinstance(key, str)]
        if names[:1] == ["hash_keys"]:
            return True
        return tuple(keys) in self.indirect or any(_SECRET_KEY.search(name) for name in names[-1:])

    def unread(self, keys: Keys) -> list[str]:
        """Return the messages about unreadable values at `keys` and below."""
        return [line for at, line in self.mistakes.items() if at[: len(keys)] == keys]

    def shown(self, keys: Sequence[int | str]) -> str:
        """Return the value at `keys` for a message, or an empty text for a section.

        Secrets are hidden, and so are texts that can contain a secret: an address
        with a user, a line of several words, a plugin's setting.
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
        """Return a message with the file, the line, the key and `sentence`.

        `at` is the line, with an optional column, within the text at `keys`. `at` is
        used only if the text is in a separate file. For a text inside YAML, the message
        has the line in the YAML file.
        """
        place = self.place(keys)
        if (path := self.files.get(tuple(keys))) is not None:
            place = ":".join(map(str, (path, *at)))
        return ": ".join(part for part in (place, dotted(keys), sentence) if part)

    @staticmethod
    def merged(documents: Sequence["Document"]) -> "Document":
        """Merge `documents`; later documents override earlier documents."""
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
            sources=tuple(path for document in documents for path in document.sources),
        )


def _kept(files: Mapping[Keys, Path], above: Document) -> dict[Keys, Path]:
    """Return the entries of `files` whose keys the document `above` does not replace."""
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
    """Return true when one of `others` equals `keys`, is below `keys`, or is a section around `keys`."""
    return any(all(a == b for a, b in zip(keys, other, strict=False)) for other in others)


def dotted(keys: Sequence[int | str]) -> str:
    """Return `keys` joined with dots. A key that is possibly a line of another file is hidden."""
    return ".".join(str(key) if _KEY.fullmatch(str(key)) else "(a key that is not shown)" for key in keys)


def _merge(below: Any, above: Any) -> Any:
    if isinstance(below, dict) and isinstance(above, dict):
        return {**below, **{key: _merge(below.get(key), value) for key, value in above.items()}}
    return above
