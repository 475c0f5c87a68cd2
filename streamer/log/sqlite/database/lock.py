"""Locks the log's file for one process, and checks that the file is on a local disk."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from streamer.errors import LogMisconfigured


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Reserve `path` for this process, by a lock on the file `path` + `.lock`.

    The lock file is never removed, because otherwise two processes could lock two
    different files of the same name. The lock ends with the process, however the
    process ends. Only the owner has rights to the lock file and to a folder that is
    created here. Raises `LogMisconfigured`; if the lock is in use, the message has the
    process id of its owner.
    """
    lock_path = path.with_name(path.name + ".lock")
    try:
        _make_folder(path.parent)
        descriptor = _opened(lock_path)
    except OSError as exc:
        raise LogMisconfigured(
            f"{lock_path} can't be created ({exc.strerror}): check that the folder exists and that "
            "this user can write there, or name another path for the log"
        ) from exc
    try:
        _acquire(descriptor, path)
        yield
    finally:
        os.close(descriptor)


def holder(path: Path) -> str | None:
    """Return the process id of the process that has locked `path`, or `None`.

    The function creates and changes nothing. Raises `OSError` for a lock file that
    can't be read.
    """
    try:
        descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        # This lock is shared and brief, so that two readers of the lock do not block each other.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(descriptor)
    finally:
        os.close(descriptor)
    return None


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        folder.chmod(0o700)


def _opened(path: Path) -> int:
    """Open or create `path` with rights for its owner only, whatever the umask."""
    # If the lock file were a link, another user could choose the file that Streamer writes to.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    # In a volume that a group shares, the file can belong to another user, and its rights can't
    # be changed.
    with suppress(PermissionError):
        os.fchmod(descriptor, 0o600)
    return descriptor


def _acquire(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        raise LogMisconfigured(
            f"{path} is in use by process {_holder(descriptor)}: stop that process, or name another path "
            "for this log"
        ) from exc
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)


def _holder(descriptor: int) -> str:
    return os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"


_NETWORKED = ("nfs", "cifs", "smb", "ceph", "lustre", "afs", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph")
_MOUNTS = Path("/proc/self/mountinfo")


def check_local(path: Path) -> None:
    """Raise `LogMisconfigured` if `path` lies on a network file system.

    SQLite's write-ahead log needs shared memory and locks, which such file systems
    do not provide. If mounts can't be listed, the check is skipped.
    """
    try:
        mounts = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return
    kind = file_system_type(path.absolute(), mounts)
    if kind.startswith(_NETWORKED):
        raise LogMisconfigured(
            f"{path} is on a network file system ({kind}), on which SQLite's locks do not work: name "
            "a path on a local disk, or use the Kafka log"
        )


def file_system_type(path: Path, mounts: str) -> str:
    """Return the type of the file system that holds `path`; `mounts` is in the format of mountinfo."""
    best, kind = -1, ""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split()
        point = Path(_unescaped(fields[4]))
        # If two mounts have the same mount point, the later mount hides the earlier one.
        if path.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), after.split()[0]
    return kind


def _unescaped(field: str) -> str:
    return field.replace(r"\040", " ").replace(r"\011", "\t").replace(r"\134", "\\")
