"""The busy loops that `make test-slow` runs beside the tests."""

import subprocess
import sys

from tests.busy_loops import busy
from tests.waiting import LIMIT_S


def test_loops_end_with_their_context() -> None:
    """No loop keeps running after the tests."""
    with busy(2) as loops:
        assert [loop.poll() for loop in loops] == [None, None]

    assert all(loop.poll() for loop in loops)


def test_status_of_the_command_is_returned() -> None:
    """A failed test fails `make test-slow`."""
    command = [sys.executable, "-m", "tests.busy_loops", sys.executable, "-c", "raise SystemExit(3)"]
    assert subprocess.run(command, check=False, timeout=LIMIT_S).returncode == 3
