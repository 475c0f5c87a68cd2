"""Regular files that a configuration names; reading a pipe or a device might never end."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

LARGEST = 4 * 1024 * 1024
"""Largest size of a file in bytes."""

_NO_FILE = "not a regular file, but a pipe or a device"
_INHERITED = "/dev/stdin", "/dev/fd/"


def opened(path: str, flags: int) -> int:
    """Opener for `open` that accepts a regular file, or a link to one, and never waits for a writer.

    Raises `OSError` for anything else.
    """
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    try:
        _check_kind(os.fstat(descriptor))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def content(path: Path) -> bytes:
    """Return the bytes of a regular file. Raises `OSError`, also if the file is too large."""
    return _content(path, opened)


def content_or_pipe(path: Path) -> bytes:
    """Return the bytes of a regular file, or of a pipe from the shell: `<(…)`, or standard input.

    Raises `OSError`. A named pipe in the file system is refused, because without a
    writer, reading from it never ends.
    """
    is_inherited = path.as_posix().startswith(_INHERITED)
    return _content(path, None if is_inherited else opened)


def _content(path: Path, opener: Callable[[str, int], int] | None) -> bytes:
    with open(path, "rb", opener=opener) as file:
        found = file.read(LARGEST + 1)
    _check_size(len(found))
    return found


def check(path: Path) -> None:
    """Raise `OSError` unless `path` is a regular file, or a link to one, and is not too large."""
    _check_size(check_kind(path).st_size)


def check_kind(path: Path) -> os.stat_result:
    """Return the status of a regular file, or of a link to one. Raises `OSError` for anything else."""
    found = path.stat()
    _check_kind(found)
    return found


def _check_kind(found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, _NO_FILE)


def _check_size(size: int) -> None:
    if size > LARGEST:
        raise OSError(errno.EFBIG, f"larger than the limit of {LARGEST // 1024**2} MiB")
