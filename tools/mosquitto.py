"""Real MQTT broker on loopback, for tests."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tools.ports import free_ports, listens

# Debian installs it in a folder that is only in root's path.
_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")
_READY_S = 10.0
_LOOK_S = 0.01


class BrokerFailed(Exception):
    """The broker does not start; the message contains its output."""


def mosquitto() -> str | None:
    """Return the path of Mosquitto, or `None` if it is not installed."""
    return shutil.which("mosquitto", path=os.pathsep.join((os.environ.get("PATH", ""), *_FOLDERS)))


class Mosquitto:
    """Broker with its data in `folder`. It keeps its port through restarts.

    `settings` are additional configuration lines, such as `allow_anonymous false`.
    By default, the broker admits everybody.
    """

    def __init__(self, folder: Path, *settings: str) -> None:
        [self.port] = free_ports(1)
        self._folder = folder
        self._settings: Sequence[str] = settings
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Start the broker, and wait until it accepts connections. Raises `BrokerFailed`."""
        program = mosquitto()
        if program is None:
            raise BrokerFailed("Mosquitto is not installed: python -m tools.system_packages")
        config = self._folder / "mosquitto.conf"
        config.write_text("\n".join([*self._usual(), *self._settings, ""]), encoding="utf-8")
        output = self._folder / "mosquitto.log"
        with output.open("ab") as file:
            self._process = subprocess.Popen([program, "-c", str(config)], stdout=file, stderr=file)
        until = time.monotonic() + _READY_S
        while not listens(self.port):
            if self._process.poll() is not None or time.monotonic() > until:
                raise BrokerFailed(output.read_text(errors="replace"))
            time.sleep(_LOOK_S)

    def kill(self) -> None:
        """End the broker with SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End the broker as a service manager does."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None

    def _usual(self) -> list[str]:
        anybody = not any(line.startswith("allow_anonymous") for line in self._settings)
        return [
            f"listener {self.port} 127.0.0.1",
            f"persistence_location {self._folder}/",
            "persistence true",
            # Without this line, the broker gives up root's rights, and loses access to the folder.
            *(["user root"] if os.geteuid() == 0 else []),
            *(["allow_anonymous true"] if anybody else []),
        ]
