"""One daemon: both sides of the log, its probes, and how it stops."""

import asyncio
from asyncio import Task
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from enum import StrEnum

import structlog

from streamer.app.dispatching import Dispatching
from streamer.app.ingesting import Ingesting
from streamer.app.log import Log, open_log
from streamer.app.plan import Plan
from streamer.clock import Clock
from streamer.errors import LogUnavailable
from streamer.lookout import Lookout
from streamer.observe.endpoint import serving
from streamer.observe.health import Health, Heartbeat
from streamer.observe.metrics import Metrics
from streamer.observe.watchdog import Watchdog
from streamer.pulse import Pulses
from streamer.status import Status
from streamer.stuck import StuckLimits
from streamer.watching import Watcher

_log = structlog.get_logger()

_FIRST_PAUSE_S = 1.0
_MAX_PAUSE_S = 30.0
_LOOP_LIMIT_S = 30.0


class Role(StrEnum):
    """Which side of the log this process serves."""

    ALL = "all"
    INGEST = "ingest"
    DISPATCH = "dispatch"


@dataclass(slots=True, kw_only=True)
class App:
    """One daemon: a plan, a clock, and what runs of it.

    A `watcher` is shown what flows; a `watchdog` tells where a loop hangs that
    does not turn, and is for a process that serves nothing else.
    """

    plan: Plan
    clock: Clock
    role: Role = Role.ALL
    watcher: Watcher | None = None
    watchdog: Watchdog | None = None
    metrics: Metrics = field(init=False)
    port: int = field(default=0, init=False)
    _status: Status = field(default_factory=Status, init=False)
    _pulses: Pulses = field(init=False)
    _dispatching: Dispatching = field(init=False)

    def __post_init__(self) -> None:
        """Declare the metrics."""
        self.metrics = Metrics(clock=self.clock)
        self._pulses = Pulses(self.clock)
        self._dispatching = Dispatching(
            plan=self.plan,
            clock=self.clock,
            metrics=self.metrics,
            status=self._status,
            watcher=self.watcher,
        )

    @property
    def ready(self) -> bool:
        """Whether every channel that is ours is subscribed and every subscriber follows the log."""
        return self._status.complete()

    async def run(self, stopping: asyncio.Event) -> None:
        """Serve until `stopping` is set, then drain for at most the grace period.

        Raises what someone must act on: a `Stop`, in an `ExceptionGroup`.
        """
        settings, observe = self.plan.settings, self.plan.settings.observe
        heartbeat = Heartbeat(
            clock=self.clock,
            metrics=self.metrics,
            limit_s=min(_LOOP_LIMIT_S, observe.stuck_after_s),
            watchdog=self.watchdog,
        )
        lookout = Lookout(self._status, self.metrics, self.clock, self._pulses, StuckLimits.of(settings))
        health = Health(self._status.state)
        for each in (heartbeat, lookout, self._status):
            each.register(health)
        async with (
            serving(health, self.metrics.registry, host=observe.host, port=observe.port) as self.port,
            asyncio.TaskGroup() as group,
        ):
            helping = [
                group.create_task(heartbeat.run(), name="heartbeat"),
                group.create_task(lookout.run(), name="lookout"),
            ]
            _log.info("daemon.started", role=self.role, port=self.port)
            async with AsyncExitStack() as stack:
                if log := await self._opened_log(stack, stopping):
                    await self._serve(log, stopping)
            for task in helping:
                task.cancel()
        _log.info("daemon.stopped")

    async def _serve(self, log: Log, stopping: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            delivering = reading = None
            if self.role is not Role.INGEST:
                delivering = group.create_task(self._dispatching.run(log, stopping), name="dispatch")
            if self.role is not Role.DISPATCH:
                reading = group.create_task(self._ingesting().run(log), name="ingest")
            await stopping.wait()
            await self._drain(reading, delivering)

    def _ingesting(self) -> Ingesting:
        self._status.ingests = True
        self._status.waiting_for["salesforce"] = "Not logged in to Salesforce yet."
        return Ingesting(
            settings=self.plan.settings,
            clock=self.clock,
            metrics=self.metrics,
            status=self._status,
            watcher=self.watcher,
        )

    async def _opened_log(self, stack: AsyncExitStack, stopping: asyncio.Event) -> Log | None:
        """Open the log as soon as it can be reached; `None` when we are to stop before that."""
        pause_s = _FIRST_PAUSE_S
        while not stopping.is_set():
            try:
                log = await stack.enter_async_context(open_log(self.plan.settings, self.clock, self._pulses))
            except LogUnavailable as error:
                self._status.waiting_for["log"] = str(error)
                _log.warning("log.unavailable", reason=str(error), tried_again_in_s=pause_s)
                with suppress(TimeoutError):
                    async with self.clock.timeout(pause_s):
                        await stopping.wait()
                pause_s = min(_MAX_PAUSE_S, pause_s * 2)
            else:
                self._status.waiting_for.pop("log", None)
                self._status.log = log
                return log
        return None

    async def _drain(self, reading: Task[None] | None, delivering: Task[None] | None) -> None:
        self._status.stopping = True
        _log.info("daemon.draining", grace_period_s=self.plan.settings.grace_period_s)
        if reading is not None:
            reading.cancel()
        try:
            async with self.clock.timeout(self.plan.settings.grace_period_s):
                if tasks := [task for task in (reading, delivering) if task is not None]:
                    await asyncio.wait(tasks)
        except TimeoutError:
            _log.warning(
                "daemon.cancelling", reason="deliveries outlasted the grace period; they are repeated"
            )
            self._dispatching.hasten()
