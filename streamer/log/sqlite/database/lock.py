"""Lock that keeps a log file to one process."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streamer.errors import LogMisconfigured


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold `path` for this process alone, by a lock on `path` + `.lock`.

    The lock file stays, because removing it would let two processes lock two
    files of one name; the lock itself ends with the process, however it ends.
    Raises `LogMisconfigured` with the owner's process id.
    """
    lock_path = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as exc:
        raise LogMisconfigured(f"{lock_path} can't be made: {exc.strerror}") from exc
    try:
        _acquire(descriptor, path)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
        raise LogMisconfigured(
            f"{path} is in use by process {owner}: stop that one first, or name another path for this log"
        ) from exc
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
