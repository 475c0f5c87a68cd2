"""Liveness and readiness probes, the heartbeat of the event loop, and its watchdog.

Liveness fails when a restart can fix the problem; readiness can fail when another
system has a problem. An unavailable broker, target or Salesforce never fails liveness,
because a restart does not help.
"""

import faulthandler
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TextIO

import structlog

from streamer.clock import Clock
from streamer.observe.metrics import Metrics

_BEAT_S = 1.0

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """Result of one probe; `sentence` describes the state, or the remedy, for an operator."""

    ok: bool
    sentence: str


Probe = Callable[[], ProbeResult]
"""Function that returns a component's current state without waiting."""


class State(StrEnum):
    """State of a process in one word."""

    STARTING = "starting"
    ACTIVE = "active"
    STANDBY = "standby"
    STOPPING = "stopping"


class ProbeKind(StrEnum):
    """Question that a probe answers."""

    LIVENESS = "liveness"
    READINESS = "readiness"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeReport:
    """Results of all probes of one kind, by name, and the state of the process."""

    state: State
    results: Mapping[str, ProbeResult]

    @property
    def ok(self) -> bool:
        """True when no probe failed."""
        return all(result.ok for result in self.results.values())

    @property
    def problems(self) -> list[str]:
        """Sentences of the probes that failed."""
        return [f"{name}: {result.sentence}" for name, result in self.results.items() if not result.ok]


class Health:
    """Registry of probes. A process without probes is alive and ready.

    A report contains `state()` and the results.
    """

    def __init__(self, state: Callable[[], State] = lambda: State.ACTIVE) -> None:
        self._state = state
        self._probes: dict[ProbeKind, dict[str, Probe]] = {kind: {} for kind in ProbeKind}

    def register(self, kind: ProbeKind, name: str, probe: Probe) -> None:
        """Add a probe. Raises `ValueError` when the `kind` already has a probe with this `name`."""
        if name in self._probes[kind]:
            raise ValueError(f"a {kind} probe named {name!r} is already registered")
        self._probes[kind][name] = probe

    def report(self, kind: ProbeKind) -> ProbeReport:
        """Run every probe of `kind`. A probe that raises an exception has failed."""
        return ProbeReport(
            state=self._state(),
            results={name: _run_probe(name, probe) for name, probe in self._probes[kind].items()},
        )


def _run_probe(name: str, probe: Probe) -> ProbeResult:
    try:
        return probe()
    except Exception as error:  # noqa: BLE001 - a broken probe is a finding, not a crash
        _log.exception("probe.failed", probe=name)
        return ProbeResult(
            ok=False,
            sentence=(
                f"The probe failed, because its code raised {type(error).__name__}; see the daemon's log "
                "output."
            ),
        )


class Watchdog:
    """Writes the stacks of all threads to `stream` unless `rearm` is called in time.

    The watchdog needs neither the loop nor the interpreter's lock. So the watchdog
    works even while a plugin's C code blocks the loop. The stacks show no variables.
    `stream` must be a real file. A process has only one watchdog, and only the owner of
    the process may arm it.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def rearm(self, limit_s: float) -> None:
        """Write the stacks once after `limit_s` seconds, unless `rearm` is called again before that time."""
        faulthandler.dump_traceback_later(limit_s, file=self._stream)

    def disarm(self) -> None:
        """Cancel the pending dump."""
        faulthandler.cancel_dump_traceback_later()


class Heartbeat:
    """Measures the event loop's lag, and provides the loop's liveness probe.

    The probe fails when the last beat is older than `limit_s` seconds; `watchdog` then
    writes the stacks of all threads. A blocked loop answers no request, so Kubernetes
    sees a time-out of the probe. An old beat shows that the loop is overloaded, or that
    the heartbeat's task has died.
    """

    def __init__(
        self, *, clock: Clock, metrics: Metrics, limit_s: float = 30.0, watchdog: Watchdog | None = None
    ) -> None:
        self._clock = clock
        self._metrics = metrics
        self._limit_s = limit_s
        self._watchdog = watchdog
        self._beat_at = clock.monotonic()

    async def run(self) -> None:
        """Beat until cancelled."""
        try:
            while True:
                if self._watchdog:
                    self._watchdog.rearm(self._limit_s)
                await self._beat()
        finally:
            if self._watchdog:
                self._watchdog.disarm()

    async def _beat(self) -> None:
        due = self._clock.monotonic() + _BEAT_S
        await self._clock.sleep(_BEAT_S)
        self._beat_at = self._clock.monotonic()
        late_s = max(0.0, self._beat_at - due)
        self._metrics.process.loop_lagged(late_s)
        if late_s > self._limit_s:
            _log.error("loop.stood_still", for_s=round(late_s, 1))

    def register(self, health: Health) -> None:
        """Add the probe to `health`."""
        health.register(ProbeKind.LIVENESS, "event loop", self.probe)

    def probe(self) -> ProbeResult:
        """Return a failure if the last beat is too old."""
        age = self._clock.monotonic() - self._beat_at
        if age <= self._limit_s:
            return ProbeResult(ok=True, sentence="The event loop runs.")
        return ProbeResult(
            ok=False,
            sentence=f"The event loop has not run for {age:.0f} s; the limit is {self._limit_s:.0f} s.",
        )
