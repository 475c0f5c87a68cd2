"""Whether the process lives, and whether it does its work.

Liveness says that a restart would help; readiness says what is wrong
elsewhere. A broker, a Salesforce or a target that is away never fails the
first: restarting does not bring it back.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import structlog

from streamer.clock import Clock
from streamer.observe.metrics import Metrics
from streamer.supervision.watchdog import Watchdog

_BEAT_S = 1.0

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """What one probe found; `sentence` tells an operator what is so, or what to do."""

    ok: bool
    sentence: str


Probe = Callable[[], ProbeResult]
"""Looks at a component's state without waiting for anything."""


class State(StrEnum):
    """What a process is to the others, in one word."""

    STARTING = "starting"
    ACTIVE = "active"
    STANDBY = "standby"
    STOPPING = "stopping"


class Kind(StrEnum):
    """The question that a probe answers."""

    LIVENESS = "liveness"
    READINESS = "readiness"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What all probes of one kind found, by name, and what the process is."""

    state: State
    results: Mapping[str, ProbeResult]

    @property
    def ok(self) -> bool:
        """Whether no probe failed."""
        return all(result.ok for result in self.results.values())

    @property
    def problems(self) -> list[str]:
        """One sentence for each probe that failed."""
        return [f"{name}: {result.sentence}" for name, result in self.results.items() if not result.ok]


class Health:
    """The probes that components registered."""

    def __init__(self, state: Callable[[], State] = lambda: State.ACTIVE) -> None:
        """Begin with no probes: alive and ready; `state` is told beside what they find."""
        self._state = state
        self._probes: dict[Kind, dict[str, Probe]] = {kind: {} for kind in Kind}

    def register(self, kind: Kind, name: str, probe: Probe) -> None:
        """Ask `probe` from now on; `name` must be new among those of its `kind`."""
        if name in self._probes[kind]:
            raise ValueError(f"a {kind} probe named {name!r} is registered already")
        self._probes[kind][name] = probe

    def report(self, kind: Kind) -> Report:
        """Ask every probe of `kind`; one that raises has failed."""
        return Report(
            state=self._state(),
            results={name: _run_probe(name, probe) for name, probe in self._probes[kind].items()},
        )


def _run_probe(name: str, probe: Probe) -> ProbeResult:
    try:
        return probe()
    except Exception as error:  # noqa: BLE001 - a broken probe is a finding, not a crash
        _log.exception("probe.failed", probe=name)
        return ProbeResult(
            ok=False, sentence=f"The probe itself failed with {type(error).__name__}; see the log."
        )


class Heartbeat:
    """Shows that the event loop turns, and how late it is.

    A loop that is stuck answers no request at all, and the asker's time-out is
    its result; the age of the beat tells of one that is starved, or whose
    side tasks have died.
    """

    def __init__(
        self, *, clock: Clock, metrics: Metrics, limit_s: float = 30.0, watchdog: Watchdog | None = None
    ) -> None:
        """Fail the probe when the last beat is older than `limit_s`, and let `watchdog` tell then where."""
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
        """Let `health` ask how old the last beat is."""
        health.register(Kind.LIVENESS, "event loop", self.probe)

    def probe(self) -> ProbeResult:
        """Tell how old the last beat is."""
        age = self._clock.monotonic() - self._beat_at
        if age <= self._limit_s:
            return ProbeResult(ok=True, sentence="The event loop turns.")
        return ProbeResult(
            ok=False,
            sentence=f"The event loop has not turned for {age:.0f} s, more than {self._limit_s:.0f} s.",
        )
