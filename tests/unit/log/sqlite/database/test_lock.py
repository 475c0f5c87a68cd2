"""A log file belongs to one process."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streamer.errors import LogMisconfigured
from streamer.log.sqlite.database.lock import locked
from tests.contracts.values import an_append, an_event, append_to
from tests.unit.log.sqlite.conftest import LogFile

HOLD = """
import sys
from pathlib import Path
from streamer.log.sqlite.database.lock import locked
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_process_holds(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a process that holds the file until it is killed."""
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "locked\n"
        try:
            yield process
        finally:
            process.kill()


async def test_second_process_is_refused_by_name(log_file: LogFile) -> None:
    """The message names the file and the process that holds it, and the file is left alone."""
    path = log_file.settings.path
    with another_process_holds(path) as owner, pytest.raises(LogMisconfigured) as raised:
        async with log_file.open():
            pass

    assert f"{path} is in use by process {owner.pid}:" in str(raised.value)
    assert not path.exists()


async def test_killed_process_leaves_no_lock_behind(log_file: LogFile) -> None:
    """No operator has to remove a lock file by hand."""
    with another_process_holds(log_file.settings.path) as owner:
        owner.kill()
        owner.wait()

        async with log_file.open():
            pass


async def test_second_log_in_this_process_is_refused_too(log_file: LogFile) -> None:
    """The lock holds between two logs of one process as well, and ends with the first."""
    async with log_file.open():
        with pytest.raises(LogMisconfigured, match="in use"), locked(log_file.settings.path):
            pass
    async with log_file.open():
        pass


def test_folder_that_can_not_be_made_is_named(tmp_path: Path) -> None:
    """A path below a file is one clear error."""
    (tmp_path / "file").touch()

    with (
        pytest.raises(
            LogMisconfigured, match=r"lock can't be created \(File exists\): check that the folder exists"
        ),
        locked(tmp_path / "file/log.db"),
    ):
        pass


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
async def test_log_is_its_owners_alone(log_file: LogFile, umask: int) -> None:
    """It holds an org's data, and the folder's name says where."""
    path = log_file.settings.path
    before = os.umask(umask)
    try:
        async with log_file.open() as log:
            await append_to(log, an_append(an_event(1)))
            modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    finally:
        os.umask(before)

    assert modes.keys() >= {"log.db", "log.db.lock", "log.db-wal"}
    assert {*modes.values()} == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_link_in_place_of_the_lock_is_refused(tmp_path: Path) -> None:
    """It would be written to, wherever it leads."""
    victim = tmp_path / "victim"
    victim.write_text("keep me")
    (tmp_path / "log.db.lock").symlink_to(victim)

    with (
        pytest.raises(LogMisconfigured, match=r"\.lock can't be created"),
        locked(tmp_path / "log.db"),
    ):
        pass

    assert victim.read_text() == "keep me"
