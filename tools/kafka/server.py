"""Process of a broker."""

import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tools.kafka.class_archive import archive_options
from tools.kafka.jars import jars, java

FULL_SPEED = ("-Xmx768m",)
# Java's second compiler takes a third of the CPU of a start, and helps only under load.
QUICK_START = ("-Xmx1g", "-XX:TieredStopAtLevel=1")
_FORMAT_DEADLINE_S = 120.0
_STOP_DEADLINE_S = 15.0
# Kills the broker and removes its folder once the pipe to its starter breaks.
_WATCHDOG = 'read -r _; kill -9 "$1"; rm -rf "$2"'


class BrokerFailed(Exception):
    """The broker did not start; the message ends with its log."""


class Server:
    """Running Kafka process, with settings, data and log in one folder."""

    def __init__(self, folder: Path, *, java_options: Sequence[str], detached: bool) -> None:
        """Launch the process.

        Unless `detached`, it ends with the current process, and its folder is
        removed.
        """
        options = [*archive_options(), *java_options, "-Dorg.apache.logging.log4j.level=WARN"]
        with (folder / "server.log").open("ab") as log:
            # A separate session keeps Ctrl-C from the broker, which is stopped gracefully instead.
            self._process = subprocess.Popen(
                [java(), *options, "-cp", f"{jars()}/*", "kafka.Kafka", str(folder / "server.properties")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._watchdog = None if detached else watch(self.pid, folder)

    @property
    def pid(self) -> int:
        """Process id of Kafka."""
        return self._process.pid

    def runs(self) -> bool:
        """Return true while the process runs."""
        return self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send the signal `number` to the process."""
        self._process.send_signal(number)

    def end(self, how: signal.Signals) -> None:
        """End the process by the signal `how`, or kill it after a time-out.

        Works for a frozen process too.
        """
        if self._watchdog is not None:
            self._watchdog.kill()
            # Close the pipe and reap the process.
            self._watchdog.communicate()
        self._process.send_signal(signal.SIGCONT)
        self._process.send_signal(how)
        try:
            self._process.wait(_STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def format_storage(properties: Path, cluster: str, more: list[str]) -> None:
    """Prepare an empty data folder for a node of `cluster`; raises `BrokerFailed`."""
    tool = [java(), *archive_options(), *QUICK_START, "-cp", f"{jars()}/*"]
    formatted = subprocess.run(
        [*tool, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(properties), *more],
        check=False,
        capture_output=True,
        text=True,
        timeout=_FORMAT_DEADLINE_S,
    )
    if formatted.returncode != 0:
        raise BrokerFailed(f"formatting Kafka's storage failed:\n{formatted.stdout}{formatted.stderr}")


def watch(pid: int, folder: Path) -> subprocess.Popen[bytes]:
    """Return a process that kills the process `pid` and removes its folder once this process ends."""
    return subprocess.Popen(
        ["sh", "-c", _WATCHDOG, "watchdog", str(pid), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
