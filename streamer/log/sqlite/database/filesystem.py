"""Check of the file system that is to hold a log."""

from pathlib import Path

from streamer.errors import LogMisconfigured

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
