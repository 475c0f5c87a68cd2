"""State of a process for a support bundle: probes, stacks, metrics and its last log lines."""

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from streamer import DISTRIBUTION
from streamer.events import JsonObject
from streamer.supervision.exposition import Exposition
from streamer.supervision.health import Health, ProbeKind
from streamer.supervision.stacks import stacks


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostics:
    """Reports the process's own state, without waiting for anything outside of it."""

    health: Health
    exposition: Exposition
    log_lines: Callable[[], Sequence[str]]

    async def report(self) -> JsonObject:
        """Return the state as JSON; no secret and no event is in it."""
        metrics, _ = await self.exposition.page("")
        return {
            "versions": {
                "streamer": version(DISTRIBUTION),
                "python": platform.python_version(),
                "platform": platform.platform(),
            },
            "health": {str(kind): self._probes(kind) for kind in ProbeKind},
            "stacks": stacks(),
            "metrics": metrics.decode(),
            "log": list(self.log_lines()),
        }

    def _probes(self, kind: ProbeKind) -> JsonObject:
        report = self.health.report(kind)
        results = report.results.items()
        return {
            "state": str(report.state),
            "checks": {name: {"ok": each.ok, "says": each.sentence} for name, each in results},
        }
