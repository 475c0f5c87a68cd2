"""Fingerprints of files, by which a change is found."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

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
