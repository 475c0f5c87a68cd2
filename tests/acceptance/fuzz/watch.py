"""Watch of a process from outside: its probes, its CPU time and its memory."""

import http.client
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

_PAUSE_S = 0.05
_TICKS = os.sysconf("SC_CLK_TCK")
_ANSWER_S = 300.0
_RESET_PEAK = "5"


class Watch:
    """Context in which a daemon's probe is asked all the time.

    A standstill is the CPU time that the process spends between a request and
    its answer, so that a slow machine makes no difference. It runs in a thread
    of its own: the loop that serves hostile answers is busy.
    """

    def __init__(self, pid: int, port: int) -> None:
        """Watch the process `pid`, whose probes are at `port`."""
        self.standstill_s = 0.0
        self.answered = 0
        self.highest_mb = 0.0
        self._pid = pid
        self._port = port
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Self:
        with suppress(OSError):
            Path(f"/proc/{self._pid}/clear_refs").write_text(_RESET_PEAK, encoding="ascii")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    @property
    def peak_mb(self) -> float:
        """Most memory that the process has held since the beginning of the watch, in MB."""
        with suppress(OSError):
            self.highest_mb = _status_mb(self._pid, "VmHWM")
        return self.highest_mb

    @property
    def is_over(self) -> bool:
        """True for a process that has ended."""
        return not Path(f"/proc/{self._pid}/status").exists()

    def _run(self) -> None:
        while not self._over.is_set():
            began = cpu_s(self._pid)
            try:
                _probe(self._port)
            except (OSError, http.client.HTTPException):
                if self.is_over:
                    return
            else:
                self.answered += 1
            self.standstill_s = max(self.standstill_s, cpu_s(self._pid) - began)
            time.sleep(_PAUSE_S)


def cpu_s(pid: int) -> float:
    """Return the CPU time of a process in seconds, 0 once it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory_mb(pid: int) -> float:
    """Return the memory that a process holds, in MB."""
    return _status_mb(pid, "VmRSS")


def _status_mb(pid: int, name: str) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith(name))


def _probe(port: int) -> None:
    connection = http.client.HTTPConnection("localhost", port, timeout=_ANSWER_S)
    try:
        connection.request("GET", "/healthz")
        connection.getresponse().read()
    finally:
        connection.close()
