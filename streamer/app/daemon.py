"""Daemon: runs ingest, dispatch, the probes and the admin API, and stops these parts in a fixed sequence."""

import asyncio
from asyncio import Task
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

import structlog

from streamer.admin import AdminContext
from streamer.app.assembly import Log, open_log, tracer_of
from streamer.app.dispatching import Dispatching
from streamer.app.ingest.ingesting import SalesforceReading
from streamer.app.log_reporter import LogReporter
from streamer.app.observers import Observers
from streamer.app.plan import Plan
from streamer.app.reloading import Applying, PlanInEffect, Reloading
from streamer.app.supervising import DaemonOptions, Supervising
from streamer.backoff import Backoff, Delays
from streamer.clock import Clock
from streamer.errors import ConfigurationError, LogUnavailable
from streamer.observe.metrics import Metrics
from streamer.observe.process import Pulses
from streamer.state.keeper import StateKeeper
from streamer.state.lookups import StateLookups
from streamer.state.readings import StateReadings
from streamer.supervision.monitor import Monitor, StuckLimits
from streamer.supervision.status import Status

_log = structlog.get_logger()

_BACKOFF = Backoff(first_s=1.0, limit_s=30.0)


class Role(StrEnum):
    """Part of the work that a process does: `ingest`, `dispatch`, `state` or `all`.

    A process that dispatches also keeps states, so that every split of the work keeps them.
    """

    ALL = "all"
    INGEST = "ingest"
    DISPATCH = "dispatch"
    STATE = "state"


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """One daemon, with the parts that `App.of` creates from a plan."""

    role: Role
    clock: Clock
    in_effect: PlanInEffect
    observers: Observers
    status: Status
    dispatching: Dispatching
    reading: SalesforceReading
    supervising: Supervising

    @classmethod
    def of(
        cls, plan: Plan, clock: Clock, role: Role = Role.ALL, options: DaemonOptions | None = None
    ) -> Self:
        """Return a daemon that follows `plan`, without any I/O.

        Raises `ConfigurationError` if `plan` has no settings for the role.
        """
        if role is Role.STATE and plan.settings.state is None:
            raise ConfigurationError(
                "the role state needs the section state in the configuration, which names the objects: "
                "add the section, or run another role"
            )
        options = options or DaemonOptions()
        metrics, status = Metrics(clock=clock), Status()
        in_effect = PlanInEffect(plan=plan)
        tracer = tracer_of(plan.settings.tracing, metrics.spans, role)
        observers = Observers(metrics=metrics, watcher=options.watcher, tracer=tracer)
        dispatching = Dispatching(
            in_effect=in_effect, clock=clock, observers=observers, condition=status.subscribers
        )
        admin = AdminContext(daemon=dispatching, clock=clock)
        monitor = Monitor(status, metrics, clock, Pulses(clock), StuckLimits.of(plan.settings))
        applying = Applying(in_effect=in_effect, monitor=monitor, metrics=metrics.process, admin=admin)
        reading = SalesforceReading(
            in_effect=in_effect,
            clock=clock,
            observers=observers,
            status=status,
            forecasting=admin.with_forecaster,
        )
        supervising = Supervising(
            in_effect=in_effect,
            observers=observers,
            status=status,
            monitor=monitor,
            admin=admin,
            reloading=Reloading.of(options.reread, applying) if options.reread else None,
            options=options,
        )
        return cls(
            role=role,
            clock=clock,
            in_effect=in_effect,
            observers=observers,
            status=status,
            dispatching=dispatching,
            reading=reading,
            supervising=supervising,
        )

    def reload(self) -> None:
        """Request a new reading of the configuration, which the daemon applies if there is no mistake."""
        if self.supervising.reloading is not None:
            self.supervising.reloading.request()

    async def run(self, stopping: asyncio.Event) -> None:
        """Serve until `stopping` is set, then drain for at most the grace period.

        Raises an `ExceptionGroup` with a `Stop` when an operator must act.
        """
        tracer = self.observers.tracer
        async with (
            tracer.sending() if tracer else nullcontext(),
            self.supervising.serving(),
            AsyncExitStack() as stack,
        ):
            _log.info("daemon.started", role=self.role, port=self.supervising.ports.probes)
            if log := await self._open_log(stack, stopping):
                with self.supervising.admin.with_log(log):
                    await self._serve(log, stopping)
                    await self.supervising.admin.reports.own.leave()
        _log.info("daemon.stopped")

    async def _serve(self, log: Log, stopping: asyncio.Event) -> None:
        # A probe can arrive before the tasks below take their first step.
        if self._does(Role.DISPATCH):
            self.dispatching.report_configured()
        if self._does(Role.INGEST):
            self.status.reading.started()
        reporter = LogReporter(log=log, metrics=self.observers.metrics.log, clock=self.clock)
        async with asyncio.TaskGroup() as group:
            ending = [group.create_task(reporter.run(), name="log reporter")]
            delivering = reading = None
            if keeper := self._keeper(log):
                self.dispatching.look_up_states(StateLookups(log=log, keeper=keeper, clock=self.clock))
            if self._does(Role.DISPATCH):
                delivering = group.create_task(self.dispatching.run(log, stopping), name="dispatch")
            if self._does(Role.INGEST):
                reading = group.create_task(self.reading.run(log), name="ingest")
            if keeper is not None:
                self.status.states.started(keeper)
                ending.append(group.create_task(keeper.run(), name="state"))
            await stopping.wait()
            await self._drain(reading, delivering)
            for task in ending:
                task.cancel()

    def _does(self, role: Role) -> bool:
        return self.role in (Role.ALL, role)

    def _keeper(self, log: Log) -> StateKeeper | None:
        """Return the keeper of record states, if this process keeps any."""
        settings = self.in_effect.settings
        if settings.state is None or self.role is Role.INGEST:
            return None
        paths = [channel.path for channel in settings.channels]
        unrepaired = [channel.path for channel in settings.channels if channel.on_gap_event == "record"]
        return StateKeeper(
            log=log,
            clock=self.clock,
            readings=StateReadings.of(settings.state.objects, paths, log, self.clock, unrepaired),
            metrics=self.observers.metrics.states,
        )

    async def _open_log(self, stack: AsyncExitStack, stopping: asyncio.Event) -> Log | None:
        """Open the log as soon as the log is reachable; return `None` if `stopping` is set before that."""
        delays = Delays(_BACKOFF)
        while not stopping.is_set():
            try:
                log = await stack.enter_async_context(self._opening_log())
            except LogUnavailable as error:
                pause_s = delays.next_s()
                self.status.log.unavailable(str(error))
                _log.warning("log.unavailable", reason=str(error), tried_again_in_s=pause_s)
                with suppress(TimeoutError):
                    async with self.clock.timeout(pause_s):
                        await stopping.wait()
            else:
                self.status.log.opened(log)
                return log
        return None

    def _opening_log(self) -> AbstractAsyncContextManager[Log]:
        return open_log(
            self.in_effect.settings, self.clock, self.supervising.monitor.pulses, self.observers.tracer
        )

    async def _drain(self, reading: Task[None] | None, delivering: Task[None] | None) -> None:
        self.status.stop_requested()
        _log.info("daemon.draining", grace_period_s=self.in_effect.settings.grace_period_s)
        if reading is not None:
            reading.cancel()
        try:
            async with self.clock.timeout(self.in_effect.settings.grace_period_s):
                if tasks := [task for task in (reading, delivering) if task is not None]:
                    await asyncio.wait(tasks)
        except TimeoutError:
            _log.warning(
                "daemon.cancelling",
                reason=(
                    "deliveries did not end within the grace period; the next run repeats these deliveries"
                ),
            )
            self.dispatching.cancel_deliveries()
