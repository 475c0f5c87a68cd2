"""What a process has used, as Linux counts it."""

import os
from pathlib import Path

_TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")
_UTIME, _STIME = 11, 12


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of `pid`, user and system, of all its threads since it began."""
    # The name before the last parenthesis may hold anything.
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[_UTIME]) + int(fields[_STIME])) * _TICK_S


def resident_mb(pid: int) -> float:
    """Return the resident memory of `pid` in MB (10^6 bytes)."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ProcessLookupError(pid)
