"""Tells whether files are still what they were."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

Fingerprints = Mapping[Path, str]
"""What each file was like; empty for what could not be read."""


def fingerprint(path: Path) -> str:
    """Return what tells the present content of `path` from others; empty when it can't be read.

    By content, not by time: Kubernetes changes a mounted file by turning a
    link around, and tools restore times. A pipe is left alone, for reading it
    would use it up.
    """
    if not path.is_file():
        return ""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def fingerprints(paths: Iterable[Path]) -> Fingerprints:
    """Return the fingerprint of each of `paths`."""
    return {path: fingerprint(path) for path in paths}
