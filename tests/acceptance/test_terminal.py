"""The daemon and the terminal in which it was started."""

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.configuration import sandbox_configuration, written
from tests.waiting import LIMIT_S


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A daemon whose org is away, which is enough to start it."""
    log = {"sqlite": {"path": str(tmp_path / "log.db")}}
    return written(tmp_path, sandbox_configuration("http://localhost:9", log=log))


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Both ends of a terminal: the window's, and the program's."""
    ends = pty.openpty()
    yield ends
    for end in ends:
        with suppress(OSError):
            os.close(end)


def started(config: Path, end: int) -> subprocess.Popen[bytes]:
    """Start the daemon in the terminal, as a shell does."""
    return subprocess.Popen(
        [sys.executable, "-m", "streamer", "run", "-c", str(config)],
        stdin=end,
        stdout=end,
        stderr=end,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - no other thread runs here
    )


def shown(window: int, text: bytes) -> bool:
    """Read what the window shows until it has shown `text`."""
    seen = b""
    while text not in seen:
        seen += os.read(window, 65_536)
    return True


def test_daemon_stops_when_its_terminal_is_closed(config: Path, terminal: tuple[int, int]) -> None:
    """An orphan that nobody sees would go on delivering."""
    window, program = terminal
    with started(config, program) as daemon:
        os.close(program)
        assert shown(window, b"daemon.started")
        os.close(window)

        assert daemon.wait(timeout=LIMIT_S) == 0


def test_hangup_signal_reloads_while_the_terminal_is_there(config: Path, terminal: tuple[int, int]) -> None:
    """`kill -HUP` is an operator's order to read the files again."""
    window, program = terminal
    with started(config, program) as daemon:
        assert shown(window, b"log.opened")
        config.write_text(config.read_text() + "\nunknown: key\n")
        daemon.send_signal(signal.SIGHUP)
        assert shown(window, b"configuration.refused")
        assert daemon.poll() is None
        daemon.terminate()
        assert daemon.wait(timeout=LIMIT_S) == 0
