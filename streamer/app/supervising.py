"""Supervision of a daemon: probes, metrics, admin API, console, and reloading."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from streamer.admin import AdminContext, serving_admin
from streamer.admin.problems.findings import ProcessCondition
from streamer.app.observers import Observers, Watcher
from streamer.app.plan import effective
from streamer.app.reloading import PlanInEffect, Reloading
from streamer.configuration import Document
from streamer.console import ConsoleContext, Sampler, console_application
from streamer.flow.process_reporter import ProcessReporter
from streamer.flow.report import FlowReport
from streamer.settings import AdminSettings
from streamer.supervision.endpoint import Exposition, default_host, serving
from streamer.supervision.health import Health, Heartbeat, Watchdog
from streamer.supervision.loop_sampler import LoopSampler
from streamer.supervision.monitor import Monitor
from streamer.supervision.stacks import Diagnostics
from streamer.supervision.status import Status

_LOOP_LIMIT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonOptions:
    """Options of a daemon, in addition to its plan.

    `reread` reads the configuration's files again; without `reread`, the daemon does
    not follow changes. A `watcher` sees passing events. A `watchdog` writes the stacks
    of a blocked event loop; only a process that runs nothing but the daemon may have a
    watchdog. `log_lines` returns the daemon's last log lines.
    """

    reread: Callable[[], Document] | None = None
    watcher: Watcher | None = None
    watchdog: Watchdog | None = None
    log_lines: Callable[[], Sequence[str]] = tuple


@dataclass(slots=True, kw_only=True)
class ServedPorts:
    """Ports of a running daemon: one for the probes, and one for the admin API if it is configured."""

    probes: int = 0
    admin: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervising:
    """Watches a daemon, serves the probes and the admin API, and follows the configuration's files."""

    in_effect: PlanInEffect
    observers: Observers
    status: Status
    monitor: Monitor
    admin: AdminContext
    reloading: Reloading | None
    options: DaemonOptions
    ports: ServedPorts = field(default_factory=ServedPorts, init=False)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Watch the daemon and serve its endpoints inside the context."""
        settings, metrics, clock = self.in_effect.settings, self.observers.metrics, self.admin.clock
        host, port = settings.observe.host or default_host(), settings.observe.port
        heartbeat = Heartbeat(
            clock=clock,
            metrics=metrics,
            limit_s=min(_LOOP_LIMIT_S, settings.observe.stuck_after_s),
            watchdog=self.options.watchdog,
        )
        health = Health(lambda: self.status.state)
        for each in (heartbeat, self.monitor, self.status):
            each.register(health)
        exposition = Exposition(metrics.registry, clock)
        self.admin.views.diagnose = Diagnostics(
            health=health, exposition=exposition, log_lines=self.options.log_lines
        ).report
        flow = FlowReport.of(self.admin, self.status, metrics.registry)
        self.admin.views.flow = flow.as_json
        self.admin.views.condition = self._condition
        side_tasks = {
            "heartbeat": heartbeat.run,
            "monitor": self.monitor.run,
            "loop sampler": LoopSampler(metrics=metrics).run,
        }
        if settings.admin is not None:
            side_tasks["rates"] = flow.sampler.run
        console: web.Application | None = None
        if settings.admin is not None and settings.admin.console.enabled:
            sampler = Sampler(registry=metrics.registry, clock=clock)
            console = self._console(settings.admin, health, flow, sampler)
            side_tasks["samples"] = sampler.run
            side_tasks["process reports"] = ProcessReporter(
                flow=flow,
                counts=lambda: sampler.samples().numbers(),
                sample=lambda: sampler.newest().as_json(),
            ).run
        if self.reloading is not None:
            side_tasks["configuration"] = self.reloading.run
        async with (
            serving(health, exposition, host=host, port=port) as self.ports.probes,
            serving_admin(self.admin, settings.admin, console) as self.ports.admin,
            asyncio.TaskGroup() as group,
        ):
            tasks = [group.create_task(run(), name=name) for name, run in side_tasks.items()]
            yield
            for task in tasks:
                task.cancel()

    def _condition(self) -> ProcessCondition:
        reading = self.status.reading
        return ProcessCondition(
            # Without the registry, events with known schemas flow, so the process stays ready.
            waits=[*self.status.waits, *filter(None, [self.status.log.schema_outage])],
            channels=reading.channels,
            verified_at=reading.supervisor.verified_at if reading.supervisor else {},
            blocked_plugins=self.status.subscribers.blocked_plugins,
        )

    def _console(
        self, settings: AdminSettings, health: Health, flow: FlowReport, sampler: Sampler
    ) -> web.Application:
        return console_application(
            ConsoleContext(
                admin=self.admin,
                settings=settings,
                health=health,
                status=self.status,
                flow=flow,
                sampler=sampler,
                configuration=lambda: effective(self.in_effect.plan),
            )
        )
