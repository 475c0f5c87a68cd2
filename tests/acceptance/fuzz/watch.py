"""Measurement of a process from outside: its probes, its CPU time and its memory."""

import asyncio
import http.client
import math
import os
import signal
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
# The judgement is clear by then, and the machine is to go on.
_HOPELESS_MB = 1_500.0
_HOPELESS_S = 30.0
_LOOKS = 10
_RUNNING = frozenset("RD")


class Watch:
    """Context in which a daemon's probe is asked all the time.

    A standstill is the CPU time that the process spends between a request and
    its answer, so that a slow machine makes no difference. It runs in threads
    of its own: the loop that serves hostile answers is busy. A daemon that fills
    the machine, or stands still without an end, is killed.
    """

    def __init__(self, pid: int, port: int) -> None:
        """Watch the process `pid`, whose probes are at `port`."""
        self.standstill_s = 0.0
        self.answered = 0
        self.refused = 0
        self.held_mb = held_mb(pid)
        self.highest_mb = 0.0
        self._pid = pid
        self._port = port
        self._over = threading.Event()
        self._asked_at_s = math.inf
        self._threads = [
            threading.Thread(target=each, name="watch", daemon=True) for each in (self._ask, self._guard)
        ]

    def __enter__(self) -> Self:
        with suppress(OSError):
            Path(f"/proc/{self._pid}/clear_refs").write_text(_RESET_PEAK, encoding="ascii")
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    @property
    def peak_mb(self) -> float:
        """Most memory that the process has held since the beginning of the watch, in MB."""
        # A process that has ended has no memory.
        with suppress(OSError, StopIteration):
            self.highest_mb = _status_mb(self._pid, "VmHWM")
        return self.highest_mb

    async def probed(self) -> None:
        """Wait until a probe that begins now is answered or refused, or the process has ended."""
        # The one under way began before.
        enough = self.answered + self.refused + 2
        # A thread counts them.
        while self.answered + self.refused < enough and not self.is_over:  # noqa: ASYNC110 - as said
            await asyncio.sleep(_PAUSE_S)

    @property
    def is_over(self) -> bool:
        """True for a process that has ended."""
        return not Path(f"/proc/{self._pid}/status").exists()

    def _guard(self) -> None:
        while not self._over.wait(_PAUSE_S) and not self.is_over:
            stands_s = cpu_s(self._pid) - self._asked_at_s
            self.standstill_s = max(self.standstill_s, stands_s)
            if self.peak_mb > _HOPELESS_MB or stands_s > _HOPELESS_S:
                with suppress(ProcessLookupError):
                    os.kill(self._pid, signal.SIGKILL)

    def _ask(self) -> None:
        while not self._over.is_set():
            self._asked_at_s = began = cpu_s(self._pid)
            try:
                _probe(self._port)
            except (OSError, http.client.HTTPException):
                if self.is_over:
                    return
                self.refused += 1
            else:
                self.answered += 1
            self.standstill_s = max(self.standstill_s, cpu_s(self._pid) - began)
            # A pause does not count as a standstill.
            self._asked_at_s = math.inf
            time.sleep(_PAUSE_S)


def cpu_s(pid: int) -> float:
    """Return the CPU time of a process in seconds, 0 once it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


async def settled(pid: int, *, within_s: float) -> None:
    """Wait until most looks find no thread of a process at work, or `within_s` are over.

    A thread that waits for a processor counts as working, so that a slow
    machine makes no difference.
    """
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        busy = 0
        for _ in range(_LOOKS):
            await asyncio.sleep(_PAUSE_S)
            busy += _works(pid)
        if busy <= _LOOKS // 4:
            return


def _works(pid: int) -> bool:
    states = []
    for task in Path(f"/proc/{pid}/task").glob("*/stat"):
        # A thread can end meanwhile.
        with suppress(OSError):
            states.append(task.read_text(encoding="ascii").rpartition(") ")[2][0])
    return not _RUNNING.isdisjoint(states)


def held_mb(pid: int) -> float:
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
