"""A log file must lie on a local disk."""

from pathlib import Path

import pytest

from streamer.errors import LogMisconfigured
from streamer.log.sqlite.database.lock import check_local, file_system_type

MOUNTS = r"""
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
23 22 0:21 / /proc rw,nosuid - proc proc rw
24 22 0:40 / /mnt/team\040share rw,relatime shared:7 - nfs4 files:/team rw
25 22 0:41 / /mnt rw - tmpfs tmpfs rw
26 25 0:42 / /mnt/team\040share/local rw - xfs /dev/vdb rw
""".strip()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/data/log.db", "ext4"),
        ("/mnt/log.db", "tmpfs"),
        ("/mnt/team share/log.db", "nfs4"),
        ("/mnt/team share/local/log.db", "xfs"),
        ("/procedures/log.db", "ext4"),
    ],
)
def test_innermost_mount_decides(path: str, kind: str) -> None:
    """A path belongs to the mount that holds it most closely."""
    assert file_system_type(Path(path), MOUNTS) == kind


def test_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the path and the file system."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    monkeypatch.setattr("streamer.log.sqlite.database.lock._MOUNTS", mounts)

    with pytest.raises(LogMisconfigured, match=r"/mnt/team share/log.db is on a network .*nfs4"):
        check_local(Path("/mnt/team share/log.db"))


def test_local_disk_is_taken(tmp_path: Path) -> None:
    """Nothing is wrong with the file system of this machine."""
    check_local(tmp_path / "log.db")
