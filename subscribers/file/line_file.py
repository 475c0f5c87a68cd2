"""File that grows by whole lines, is repaired after a crash, and is renamed when it is full."""

import errno
import fcntl
import os
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import orjson
import structlog

from subscribers.lines import write_whole

_log = structlog.get_logger()

_CHUNK = 64 * 1024
_LONGEST_LINE = 64 * 1024**2
_FOLDER_MODE = 0o750

# First characters of JSON, and the zero byte that a power failure can leave.
_BEGINNINGS = frozenset({bytes([byte]) for byte in b'{["-0123456789tfn\0'})


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePolicy:
    """Policy for files: permissions, largest size, number of kept files, and writes to the disk.

    `fsync_every_s` is the time between two `fsync`s: 0 means one `fsync` for each line,
    and `None` means no `fsync`. `folder` must exist; folders below it are created.
    """

    folder: Path
    mode: int
    max_bytes: int | None
    keep: int | None
    fsync_every_s: float | None


class LineFile:
    """Open file to which any number of threads append whole lines.

    The file is locked, so that no other process repairs or renames it. If only a
    part of a line can be written, the part is removed again. If `fsync_every_s` is
    0, `append` returns when the disk has the line. Threads that append at the same
    time share one `fsync`.
    """

    def __init__(self, path: Path, policy: FilePolicy, monotonic: Callable[[], float]) -> None:
        self.path = path
        self._policy = policy
        self._monotonic = monotonic
        self._writing = threading.Lock()
        self._syncing = threading.Lock()
        # Number of the last line in each state: begun, appended, on the disk, possibly lost.
        self._begun = 0
        self._appended = 0
        self._synced = 0
        self._lost = 0
        self._synced_at = monotonic()
        self._is_torn = False
        self._descriptor = self._opened()

    def append(self, line: bytes) -> None:
        """Append `line`, which ends with a line feed; after an `OSError`, the file is unchanged."""
        with self._writing:
            self._make_room(len(line))
            self._begun += 1
            number = self._begun
            self._append_whole(line)
            self._appended = number
        self._sync(number)

    def close(self) -> None:
        """Write all appended lines to the disk, and close the file."""
        with self._writing, self._syncing:
            if self._descriptor < 0:
                return
            try:
                self._write_to_disk()
            except OSError as error:
                _log.error("file.not_synced", path=str(self.path), error=error.strerror)
            finally:
                self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _append_whole(self, line: bytes) -> None:
        if self._is_torn:
            _repair(self._descriptor, self.path)
            self._is_torn = False
        before = os.fstat(self._descriptor).st_size
        try:
            write_whole(self._descriptor, line)
        except BaseException:
            # A partial line must be removed, or the next line would become a part of it.
            self._is_torn = True
            os.ftruncate(self._descriptor, before)
            self._is_torn = False
            raise

    def _make_room(self, size: int) -> None:
        """Open a new file if the present file was moved or removed, or is full; a full file is renamed."""
        if self._descriptor < 0:
            self._descriptor = self._opened()
        found = os.fstat(self._descriptor)
        if not _is_at(self.path, found):
            self._reopen()
        elif self._policy.max_bytes and found.st_size and found.st_size + size > self._policy.max_bytes:
            self._rename()
            self._reopen()

    def _reopen(self) -> None:
        with self._syncing:
            self._write_to_disk()
            self._release()
            self._is_torn = False
            self._descriptor = self._opened()

    def _rename(self) -> None:
        numbers = _numbers(self.path)
        self.path.rename(f"{self.path}.{max(numbers, default=0) + 1:06d}")
        _sync_folder(self.path)
        if self._policy.keep is not None:
            for number in sorted(numbers)[: max(len(numbers) + 1 - self._policy.keep, 0)]:
                self.path.with_name(f"{self.path.name}.{number:06d}").unlink(missing_ok=True)

    def _sync(self, number: int) -> None:
        every_s = self._policy.fsync_every_s
        if every_s is None:
            return
        with self._syncing:
            if number <= self._lost:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            # Another thread can have written this line to the disk together with its own.
            if self._synced < number and self._monotonic() >= self._synced_at + every_s:
                self._write_to_disk()

    def _write_to_disk(self) -> None:
        """Write the appended lines to the disk, unless the policy forbids `fsync`."""
        appended = self._appended
        if self._policy.fsync_every_s is None or self._synced >= appended:
            return
        try:
            os.fsync(self._descriptor)
        except OSError:
            # The system forgets data that it could not write, so a second fsync would prove
            # nothing. A line whose write has only begun can also be lost.
            self._lost = self._begun
            raise
        self._synced, self._synced_at = appended, self._monotonic()

    def _release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def _opened(self) -> int:
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_NONBLOCK)
        except FileNotFoundError:
            descriptor = self._created()
        try:
            _check(descriptor)
            _repair(descriptor, self.path)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _created(self) -> int:
        _make_folders(self.path, self._policy.folder)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL
        descriptor = os.open(self.path, flags, self._policy.mode)
        # Set the mode explicitly, because a umask of the service manager can remove rights.
        os.fchmod(descriptor, self._policy.mode)
        _sync_folder(self.path)
        return descriptor


def _make_folders(path: Path, below: Path) -> None:
    """Create the folders of `path` below the folder `below`, which must exist."""
    missing = []
    folder = path.parent
    while folder not in (below, folder.parent) and not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        each.mkdir(mode=_FOLDER_MODE, exist_ok=True)


def _check(descriptor: int) -> None:
    """Lock the file; raise `OSError` if it is not a regular file, or if another process has locked it."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise OSError(errno.EISDIR, "not a regular file")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OSError(
            errno.EBUSY,
            (
                "another process or subscriber writes to this file: give each process and each "
                "subscriber a path of its own"
            ),
        ) from error


def _repair(descriptor: int, path: Path) -> None:
    """Complete or remove the last line, if a crash has left the line without its line feed."""
    size = os.fstat(descriptor).st_size
    end = _end_of_lines(descriptor, size)
    if end == size:
        return
    last = os.pread(descriptor, min(size - end, _LONGEST_LINE), end)
    if len(last) < size - end or last[:1] not in _BEGINNINGS:
        raise OSError(errno.EISDIR, "the end of the file is not JSON Lines")
    if _is_whole(last):
        write_whole(descriptor, b"\n")
        return
    os.ftruncate(descriptor, end)
    _log.warning("file.repaired", path=str(path), removed_bytes=size - end)


def _end_of_lines(descriptor: int, size: int) -> int:
    """Return the offset after the last line feed."""
    end = size
    while end > 0:
        begin = max(end - _CHUNK, 0)
        found = os.pread(descriptor, end - begin, begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0


def _is_whole(line: bytes) -> bool:
    # A cut number or word can look complete, so only objects, lists and strings are accepted.
    if line[:1] not in {b"{", b"[", b'"'}:
        return False
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


def _is_at(path: Path, opened: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.stat(), opened)
    except FileNotFoundError:
        return False


def _numbers(path: Path) -> list[int]:
    suffixes = (found.name.removeprefix(f"{path.name}.") for found in path.parent.glob("*.*"))
    return [int(suffix) for suffix in suffixes if suffix.isdecimal() and suffix.isascii()]


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
