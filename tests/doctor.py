"""A doctor's findings about a configuration, as the lines that an operator reads."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from streamer.clock import Clock, SystemClock
from streamer.doctor import Area, CheckStatus, Diagnosis, Doctor, Finding
from tests.configuration import written


async def examined(
    folder: Path,
    configuration: dict[str, Any],
    *areas: Area,
    clock: Clock | None = None,
    timeout_s: float = 20.0,
) -> Diagnosis:
    """Return the diagnosis of `configuration`, which is written to `folder`."""
    doctor = Doctor(clock=clock or SystemClock(), areas=areas or frozenset(Area), timeout_s=timeout_s)
    return await doctor.diagnose([written(folder, configuration)])


def line(finding: Finding) -> str:
    """Return a finding as one line, with its remedy."""
    status, found, remedy = finding.verdict
    return f"{status} {finding.name}: {found} -> {remedy}"


def faults(diagnosis: Diagnosis) -> Sequence[str]:
    """Return the lines that are neither good nor skipped."""
    faulty = (CheckStatus.FAILED, CheckStatus.WARNING)
    return [line(each) for each in diagnosis.findings if each.verdict.status in faulty]


def the_fault(diagnosis: Diagnosis) -> str:
    """Return the only line that is neither good nor skipped."""
    found = faults(diagnosis)
    assert len(found) == 1, found
    return found[0]
