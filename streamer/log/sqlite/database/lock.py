"""Lock that keeps a log file to one process, and the check that it lies on a local disk."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from streamer.errors import LogMisconfigured


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold `path` for this process alone, by a lock on `path` + `.lock`.

    The lock file stays, because removing it would let two processes lock two
    files of one name; the lock itself ends with the process, however it ends.
    The lock, and a folder that is made here, are their owner's alone. Raises
    `LogMisconfigured`, for a lock in use with the owner's process id.
    """
    lock_path = path.with_name(path.name + ".lock")
    try:
        _make_folder(path.parent)
        descriptor = _opened(lock_path)
    except OSError as exc:
        raise LogMisconfigured(
            f"{lock_path} can't be made ({exc.strerror}): check the folder and the rights of this user, "
            "or name another path for the log"
        ) from exc
    try:
        _acquire(descriptor, path)
        yield
    finally:
        os.close(descriptor)


def holder(path: Path) -> str | None:
    """Return the process id of the process that holds `path`, or `None` when none does.

    Makes nothing and changes nothing. Raises `OSError` for a lock that can't be
    read.
    """
    try:
        descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        # Shared, and for a moment: readers of the lock do not meet each other.
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
    """Open `path`, made where it is missing, for its owner alone, whatever the umask."""
    # A link in place of the lock would let somebody else choose the file that we write to.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    # A file of another owner, in a volume of a group, can be ours to use and not to change.
    with suppress(PermissionError):
        os.fchmod(descriptor, 0o600)
    return descriptor


def _acquire(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        raise LogMisconfigured(
            f"{path} is in use by process {_holder(descriptor)}: stop that one first, or name another path "
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

    SQLite's write-ahead log needs shared memory and locks that such file
    systems don't give. Where mounts can't be listed, nothing is checked.
    """
    try:
        mounts = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return
    kind = file_system_type(path.absolute(), mounts)
    if kind.startswith(_NETWORKED):
        raise LogMisconfigured(
            f"{path} is on a network file system ({kind}), which SQLite can't rely on: "
            "name a path on a local disk, or use the Kafka log"
        )


def file_system_type(path: Path, mounts: str) -> str:
    """Return the type of the file system that holds `path`; `mounts` is in the format of mountinfo."""
    best, kind = -1, ""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split()
        point = Path(_unescaped(fields[4]))
        # Of two mounts on one point, the later one hides the earlier.
        if path.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), after.split()[0]
    return kind


def _unescaped(field: str) -> str:
    return field.replace(r"\040", " ").replace(r"\011", "\t").replace(r"\134", "\\")
