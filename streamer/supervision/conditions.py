"""Condition of the log, and its readiness probe."""

from dataclasses import dataclass, field
from typing import Protocol

from streamer.supervision.health import Health, ProbeKind, ProbeResult


class LogView(Protocol):
    """A log's view of its condition."""

    @property
    def outage(self) -> str:
        """Reason why the log can't be written or read now; empty while the log works."""
        ...

    @property
    def is_member(self) -> bool:
        """True while this process is a member of the group of processes that share the channels."""
        ...


@dataclass(slots=True)
class LogCondition:
    """Condition of the log, before and after its opening."""

    _log: LogView | None = field(default=None, init=False)
    _opening_wait: str = field(default="", init=False)

    def unavailable(self, reason: str) -> None:
        """Report that the log can't be opened for `reason`, and that the app will retry."""
        self._opening_wait = reason

    def opened(self, log: LogView) -> None:
        """Report that `log` is open."""
        self._opening_wait = ""
        self._log = log

    @property
    def opening_wait(self) -> str:
        """Reason why the log can't be opened; empty before the first try, and once the log is open."""
        return self._opening_wait

    @property
    def outage(self) -> str:
        """Reason why the open log can't be written or read now; empty while it works, or is not open."""
        return self._log.outage if self._log else ""

    @property
    def is_usable(self) -> bool:
        """True while the log is open, and can be read and written."""
        return self._log is not None and not self._log.outage

    @property
    def is_awaited(self) -> bool:
        """True while the log can't be opened, read or written."""
        return bool(self._opening_wait or (self._log and self._log.outage))

    @property
    def is_member(self) -> bool:
        """True while this process is a member of the group of processes that share the channels."""
        return self._log is not None and self._log.is_member

    def register(self, health: Health) -> None:
        """Add the probe to `health`."""
        health.register(ProbeKind.READINESS, "log", self._readiness)

    def _readiness(self) -> ProbeResult:
        if self._log is None:
            return ProbeResult(ok=False, sentence="The log is not open yet.")
        outage = self._log.outage
        return ProbeResult(ok=not outage, sentence=outage or "The log is open, and can be used.")
