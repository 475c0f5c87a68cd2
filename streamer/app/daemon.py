"""Daemon: both sides of the log, the probes, the admin API, and the stop."""

import asyncio
from asyncio import Task
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext, suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum

import structlog
from aiohttp import web

from streamer.admin import AdminContext, serving_admin
from streamer.app.assembly import Log, open_log, tracer_of
from streamer.app.dispatching import Dispatching
from streamer.app.ingest.ingesting import Ingesting
from streamer.app.log_reporter import LogReporter
from streamer.app.observers import Watcher
from streamer.app.plan import Plan, effective
from streamer.app.reloading import ConfigurationChanges, ConfigurationFiles, Reloading, reloadable
from streamer.backoff import Backoff, Delays
from streamer.clock import Clock
from streamer.configuration import Document
from streamer.console import ConsoleContext, Sampler, console_application
from streamer.controls import AuditRecord
from streamer.dispatch.dispatcher import Dispatcher
from streamer.errors import LogUnavailable, Stop, leaves
from streamer.events import JsonObject, SubscriberName
from streamer.ingest.reading.message_reader import Protection
from streamer.observe.metrics import Metrics
from streamer.observe.process import Pulses
from streamer.observe.tracing import QueuedTracer
from streamer.ports import Controls
from streamer.settings import Settings
from streamer.supervision.endpoint import Exposition, default_host, serving
from streamer.supervision.health import Health, Heartbeat
from streamer.supervision.loop_sampler import LoopSampler
from streamer.supervision.monitor import Monitor
from streamer.supervision.stacks import Diagnostics
from streamer.supervision.status import Readiness, Status
from streamer.supervision.stuck import StuckLimits
from streamer.supervision.watchdog import Watchdog

_log = structlog.get_logger()

_BACKOFF = Backoff(first_s=1.0, limit_s=30.0)
_LOOP_LIMIT_S = 30.0


class Role(StrEnum):
    """Side of the log that a process serves."""

    ALL = "all"
    INGEST = "ingest"
    DISPATCH = "dispatch"


@dataclass(slots=True, kw_only=True)
class App:
    """One daemon, which runs a plan.

    `reread` reads the configuration's files again; without it the daemon does
    not follow changes. A `watcher` is shown events as they pass. A `watchdog`
    writes the stacks of a loop that does not turn; it is for a process that
    serves nothing else. `log_lines` returns its last log lines.
    """

    plan: Plan
    clock: Clock
    role: Role = Role.ALL
    reread: Callable[[], Document] | None = None
    watcher: Watcher | None = None
    watchdog: Watchdog | None = None
    log_lines: Callable[[], Sequence[str]] = tuple
    metrics: Metrics = field(init=False)
    port: int = field(default=0, init=False)
    admin_port: int = field(default=0, init=False)
    _status: Status = field(default_factory=Status, init=False)
    _pulses: Pulses = field(init=False)
    _dispatching: Dispatching = field(init=False)
    _admin: AdminContext = field(init=False)
    _monitor: Monitor = field(init=False)
    _reloading: Reloading | None = field(default=None, init=False)
    _sampler: Sampler | None = field(default=None, init=False)
    _controls: Controls | None = field(default=None, init=False)
    _protection: Protection = field(default_factory=Protection, init=False)
    _source_changed: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _tracer: QueuedTracer | None = field(init=False)

    def __post_init__(self) -> None:
        self.metrics = Metrics(clock=self.clock)
        self._protect()
        self._pulses = Pulses(self.clock)
        self._tracer = tracer_of(self.plan.settings.tracing, self.metrics.spans, self.role)
        self._dispatching = Dispatching(
            plan=self.plan,
            clock=self.clock,
            metrics=self.metrics,
            status=self._status,
            watcher=self.watcher,
            tracer=self._tracer,
        )
        self._admin = AdminContext(daemon=self._dispatching, clock=self.clock)
        limits = StuckLimits.of(self.plan.settings)
        self._monitor = Monitor(self._status, self.metrics, self.clock, self._pulses, limits)
        if self.reread is not None:
            self._reloading = Reloading(
                files=ConfigurationFiles(document=self.plan.document, read=self.reread),
                apply=self._apply,
                logins=self.plan.logins,
                clock=self.clock,
                metrics=self.metrics,
            )

    @property
    def ready(self) -> bool:
        """True while all owned channels are subscribed and every subscriber follows the log."""
        return self._status.is_complete

    @property
    def waits(self) -> Sequence[str]:
        """A sentence for each connection that is being waited for."""
        return self._status.waits

    @property
    def dispatchers(self) -> Mapping[SubscriberName, Dispatcher]:
        """Dispatchers of the subscribers that are delivered to."""
        return self._dispatching.dispatchers

    def reload(self) -> None:
        """Read the configuration again, and apply it if it has no mistake."""
        if self._reloading is not None:
            self._reloading.request()

    async def run(self, stopping: asyncio.Event) -> None:
        """Serve until `stopping` is set, then drain for at most the grace period.

        Raises a `Stop`, in an `ExceptionGroup`, when an operator must act.
        """
        observe = self.plan.settings.observe
        heartbeat = Heartbeat(
            clock=self.clock,
            metrics=self.metrics,
            limit_s=min(_LOOP_LIMIT_S, observe.stuck_after_s),
            watchdog=self.watchdog,
        )
        health = Health(lambda: self._status.state)
        for each in (heartbeat, self._monitor, Readiness(self._status)):
            each.register(health)
        exposition = Exposition(self.metrics.registry, self.clock)
        self._admin.diagnose = Diagnostics(
            health=health, exposition=exposition, log_lines=self.log_lines
        ).report
        async with (
            self._tracer.sending() if self._tracer else nullcontext(),
            serving(health, exposition, host=observe.host or default_host(), port=observe.port) as self.port,
            serving_admin(self._admin, self.plan.settings.admin, self._console(health)) as self.admin_port,
            asyncio.TaskGroup() as group,
        ):
            side_tasks = [
                group.create_task(heartbeat.run(), name="heartbeat"),
                group.create_task(self._monitor.run(), name="monitor"),
                group.create_task(LoopSampler(metrics=self.metrics).run(), name="loop sampler"),
            ]
            if self._sampler is not None:
                side_tasks.append(group.create_task(self._sampler.run(), name="samples"))
            if self._reloading is not None:
                side_tasks.append(group.create_task(self._reloading.run(), name="configuration"))
            _log.info("daemon.started", role=self.role, port=self.port)
            async with AsyncExitStack() as stack:
                if log := await self._open_log(stack, stopping):
                    with self._admin.with_log(log):
                        await self._serve(log, stopping)
            for task in side_tasks:
                task.cancel()
        _log.info("daemon.stopped")

    def _console(self, health: Health) -> web.Application | None:
        admin = self.plan.settings.admin
        if admin is None or not admin.console.enabled:
            return None
        self._sampler = Sampler(registry=self.metrics.registry, clock=self.clock)
        return console_application(
            ConsoleContext(
                admin=self._admin,
                settings=admin,
                health=health,
                status=self._status,
                sampler=self._sampler,
                configuration=lambda: effective(self.plan),
            )
        )

    async def _serve(self, log: Log, stopping: asyncio.Event) -> None:
        # A probe can ask between this and the first step of a task.
        if self.role is not Role.INGEST:
            self._dispatching.report_configured()
        if self.role is not Role.DISPATCH:
            self._status.ingest_started()
        reporter = LogReporter(log=log, metrics=self.metrics.log, clock=self.clock)
        async with asyncio.TaskGroup() as group:
            reporting = group.create_task(reporter.run(), name="log reporter")
            delivering = reading = None
            if self.role is not Role.INGEST:
                delivering = group.create_task(self._dispatching.run(log, stopping), name="dispatch")
            if self.role is not Role.DISPATCH:
                reading = group.create_task(self._read(log), name="ingest")
            await stopping.wait()
            await self._drain(reading, delivering)
            reporting.cancel()

    async def _read(self, log: Log) -> None:
        """Read Salesforce, and again from the checkpoints when the org or its channels change.

        When the login of a new configuration is refused, the former one is
        used again, once.
        """
        former: Settings | None = None
        while True:
            self._source_changed.clear()
            current = self.plan.settings
            try:
                async with asyncio.TaskGroup() as group:
                    reading = group.create_task(self._ingesting().run(log), name="read Salesforce")
                    await self._source_changed.wait()
                    reading.cancel()
            except* Stop as stop:
                if former is None or not self._status.awaits_login:
                    raise
                self._return_to(former, "; ".join(map(str, leaves(stop))))
                former = None
            else:
                former = current
            for path in set(current.paths) - set(self.plan.settings.paths):
                self.metrics.forget_channel(path)

    def _return_to(self, former: Settings, reason: str) -> None:
        """Take the org and the channels of `former`, because the new ones were refused."""
        _log.error("configuration.refused", reason=reason, in_effect="the former org and channels")
        self.metrics.process.configuration_refused()
        self.plan = self.plan.with_source(former)
        # The subscribers that use the org use the one that lets them in.
        self._dispatching.apply(self.plan)

    async def _apply(self, wanted: Plan) -> None:
        """Apply the part of a new configuration that a running process can follow."""
        changes = ConfigurationChanges.between(self.plan.settings, wanted.settings)
        self.plan = replace(wanted, settings=reloadable(self.plan.settings, wanted.settings))
        # First: no event that is read from now on may be stored by the former rules.
        self._protect()
        self._monitor.limits = StuckLimits.of(self.plan.settings)
        self._dispatching.apply(self.plan)
        if changes.changes_source:
            self._source_changed.set()
        self.metrics.process.set_restart_needed(bool(changes.waiting))
        _log.info("configuration.applied", **changes.as_json())
        await self._audit("configuration.applied", changes.as_json())

    def _protect(self) -> None:
        """Protect what is read from now on by the plan's rules."""
        self._protection.apply(self.plan.settings.protect, self.plan.settings.protection)
        for warning in self.plan.warnings:
            _log.warning("configuration.doubtful", reason=warning)

    async def _audit(self, what: str, detail: JsonObject) -> None:
        if self._controls is None:
            return
        try:
            await self._controls.note(
                AuditRecord(at=self.clock.now(), what=what, by="streamer", detail=detail)
            )
        except LogUnavailable as error:
            _log.warning("audit.not_kept", what=what, reason=str(error))

    def _ingesting(self) -> Ingesting:
        self._status.ingest_started()
        return Ingesting(
            settings=self.plan.settings,
            logins=self.plan.logins,
            clock=self.clock,
            metrics=self.metrics,
            status=self._status,
            protection=self._protection,
            watcher=self.watcher,
            tracer=self._tracer,
            forecasting=self._admin.with_forecaster,
        )

    async def _open_log(self, stack: AsyncExitStack, stopping: asyncio.Event) -> Log | None:
        """Open the log as soon as it can be reached; return `None` when `stopping` is set before that."""
        delays = Delays(_BACKOFF)
        while not stopping.is_set():
            try:
                log = await stack.enter_async_context(self._opening_log())
            except LogUnavailable as error:
                pause_s = delays.next_s()
                self._status.log_unavailable(str(error))
                _log.warning("log.unavailable", reason=str(error), tried_again_in_s=pause_s)
                with suppress(TimeoutError):
                    async with self.clock.timeout(pause_s):
                        await stopping.wait()
            else:
                self._status.log_opened(log)
                self._controls = log.controls
                return log
        return None

    def _opening_log(self) -> AbstractAsyncContextManager[Log]:
        return open_log(self.plan.settings, self.clock, self._pulses, self._tracer)

    async def _drain(self, reading: Task[None] | None, delivering: Task[None] | None) -> None:
        self._status.stop_requested()
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
            self._dispatching.cancel_deliveries()
