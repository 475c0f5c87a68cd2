"""CPU and memory of a process, as Linux counts them."""

import asyncio
import time
from bisect import bisect_left
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

_CPU_CLOCK_OF_A_PROCESS = 2
_LOOK_S = 0.02


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of `pid`, user and system, of all its threads since it began."""
    # How Linux numbers the clock that clock_getcpuclockid(3) gives: /proc counts in ticks of 10 ms.
    return time.clock_gettime(~pid << 3 | _CPU_CLOCK_OF_A_PROCESS)


def resident_mb(pid: int) -> float:
    """Return the resident memory of `pid` in MB (10^6 bytes)."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ProcessLookupError(pid)


@dataclass(slots=True)
class Usage:
    """The use of one process over time: looked at every 20 ms, in epoch seconds."""

    _at: list[float] = field(default_factory=list)
    _cpu_s: list[float] = field(default_factory=list)
    _resident_mb: float = 0.0

    @classmethod
    @asynccontextmanager
    async def watching(cls, pid: int) -> AsyncIterator["Usage"]:
        """Look at `pid` inside the context; it must live as long."""
        usage = cls()
        watching = asyncio.create_task(usage._watch(pid), name="usage")
        try:
            yield usage
        finally:
            watching.cancel()
            await asyncio.wait([watching])

    @property
    def resident_mb(self) -> float:
        """The most resident memory seen, in MB (10^6 bytes)."""
        return self._resident_mb

    def cpu_s(self, begin: float, end: float) -> float:
        """Return the CPU seconds used between two moments."""
        return self._used_by(end) - self._used_by(begin)

    async def _watch(self, pid: int) -> None:
        while True:
            self._at.append(time.time())
            self._cpu_s.append(cpu_s(pid))
            self._resident_mb = max(self._resident_mb, resident_mb(pid))
            await asyncio.sleep(_LOOK_S)

    def _used_by(self, moment: float) -> float:
        after = bisect_left(self._at, moment)
        if after in {0, len(self._at)}:
            return self._cpu_s[min(after, len(self._at) - 1)]
        share = (moment - self._at[after - 1]) / (self._at[after] - self._at[after - 1])
        return self._cpu_s[after - 1] + share * (self._cpu_s[after] - self._cpu_s[after - 1])
