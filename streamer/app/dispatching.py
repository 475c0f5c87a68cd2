"""Dispatch side of a daemon: one dispatcher for each subscriber."""

import asyncio
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import structlog

from streamer.app.assembly import Assembly
from streamer.app.chains.verdicts import RouteVerdict, Verdicts
from streamer.app.control_follower import AuditedWrites, ControlFollower, EarlierOutages
from streamer.app.enriching import SharedLookups
from streamer.app.observers import Observers
from streamer.app.plan import Plan
from streamer.app.redriving import Redrives
from streamer.app.reloading import PlanInEffect
from streamer.clock import Clock
from streamer.dispatch.delivery.enrichment import Enrichment
from streamer.dispatch.delivery.plugin_calls import exits_contained
from streamer.dispatch.dispatcher import Dispatcher
from streamer.errors import ConfigurationError, ForeignRecord, LogUnavailable, RetryLater, leaves
from streamer.events import Event, SubscriberName
from streamer.ports import ControlledLog, Controls, LookupReader
from streamer.state.keeper import SUBSCRIBER
from streamer.supervision.conditions import SubscribersCondition

_log = structlog.get_logger()

_RESTART_S = 1.0
_REOPEN_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Running:
    """Subscriber that delivers until `stop` is set. `made_of` are the settings that it was made from."""

    made_of: object
    task: asyncio.Task[None]
    stop: asyncio.Event


@dataclass(slots=True, kw_only=True)
class Dispatching:
    """Runs a dispatcher for each subscriber of the current plan.

    A new plan starts, ends and replaces dispatchers. Dispatchers with unchanged
    settings keep running.
    """

    in_effect: PlanInEffect
    clock: Clock
    observers: Observers
    condition: SubscribersCondition
    dispatchers: dict[SubscriberName, Dispatcher] = field(default_factory=dict, init=False)
    _lookups: SharedLookups = field(init=False)
    _outages: EarlierOutages = field(init=False)
    _running: dict[SubscriberName, _Running] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._lookups = SharedLookups(
            self.plan.logins, self.clock, self.plan.settings.lookups, self.observers.metrics.lookups
        )
        self._outages = EarlierOutages(clock=self.clock, dispatchers=self.dispatchers)

    @property
    def plan(self) -> Plan:
        """Current plan."""
        return self.in_effect.plan

    async def run(self, log: ControlledLog, stopping: asyncio.Event) -> None:
        """Deliver until `stopping`, then finish and record the deliveries in flight."""
        with exits_contained(self._count_failure):
            await self._run(log, stopping)

    async def _run(self, log: ControlledLog, stopping: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            control_follower = self._control_follower(log.controls, group)
            following = group.create_task(control_follower.run(), name="controls")
            recalling = group.create_task(self._outages.recall(log.controls), name="outages")
            # Waiting for the control state prevents deliveries to a target that was paused before
            # this start.
            applying = group.create_task(self._follow_plan(group, log, control_follower), name="subscribers")
            await stopping.wait()
            applying.cancel()
            await self._stop(self._running)
            following.cancel()
            recalling.cancel()
            control_follower.close()

    def look_up_states(self, states: LookupReader) -> None:
        """Read with `states` the records of look-ups that name a state."""
        self._lookups.states = states

    def enrichment(self, name: SubscriberName) -> Enrichment | None:
        """Return a subscriber's look-ups, or `None`; all subscribers share one cache of looked-up records."""
        return self.plan.enrichment(name, self._lookups)

    def verdict(self, name: SubscriberName, event: Event) -> RouteVerdict:
        """Return a subscriber's verdict on `event` under the current configuration, without look-ups."""
        return Verdicts(self.plan, event, {}).of(name)

    def report_configured(self) -> None:
        """Report the subscribers that will follow the log."""
        self.condition.expect(self.plan.settings.subscribers)

    def cancel_deliveries(self) -> None:
        """Cancel the deliveries in flight; the next process repeats them."""
        for running in self._running.values():
            running.task.cancel()

    def _control_follower(self, controls: Controls, group: asyncio.TaskGroup) -> ControlFollower:
        redrives = Redrives(controls=controls, clock=self.clock, dispatchers=self.dispatchers, group=group)
        return ControlFollower(
            controls=controls,
            clock=self.clock,
            dispatchers=self.dispatchers,
            redrives=redrives,
            writes=AuditedWrites(group=group, clock=self.clock),
        )

    async def _follow_plan(
        self, group: asyncio.TaskGroup, log: ControlledLog, control_follower: ControlFollower
    ) -> None:
        await control_follower.loaded()
        while True:
            self.in_effect.replaced.clear()
            self.report_configured()
            wanted = self.plan.settings.subscribers
            assembly = Assembly(
                plan=self.plan,
                clock=self.clock,
                log=log,
                lookups=self._lookups,
                tracer=self.observers.tracer,
            )
            self._start(group, assembly, control_follower)
            await self._stop(
                [
                    name
                    for name, running in self._running.items()
                    if assembly.plan.made_of(name) != running.made_of
                ]
            )
            self._start(group, assembly, control_follower)
            await self._expect(log, {*wanted, SUBSCRIBER} if self.plan.settings.state else wanted)
            await self.in_effect.replaced.wait()

    def _start(self, group: asyncio.TaskGroup, assembly: Assembly, control_follower: ControlFollower) -> None:
        wanted = assembly.plan.settings.subscribers
        for name in wanted.keys() - self._running.keys():
            stop = asyncio.Event()
            work = self._deliver(name, assembly, control_follower, stop)
            task = group.create_task(work, name=f"dispatch {name}")
            self._running[name] = _Running(made_of=assembly.plan.made_of(name), task=task, stop=stop)

    async def _expect(self, log: ControlledLog, subscribers: Collection[SubscriberName]) -> None:
        try:
            await log.expect(subscribers)
        except LogUnavailable as error:
            _log.warning("log.unavailable", reason=str(error))

    async def _stop(self, names: Collection[SubscriberName]) -> None:
        stopped = {name: self._running[name] for name in names}
        for running in stopped.values():
            running.stop.set()
        if stopped:
            await asyncio.wait([running.task for running in stopped.values()])
        for name in stopped:
            del self._running[name]
            self.dispatchers.pop(name, None)
            self.condition.ended(name)
            self.observers.metrics.forget_subscriber(name)

    async def _deliver(
        self, name: SubscriberName, assembly: Assembly, control_follower: ControlFollower, stop: asyncio.Event
    ) -> None:
        while not stop.is_set():
            try:
                dispatcher = assembly.dispatcher(
                    name,
                    self.observers.of_subscriber(name),
                    partial(control_follower.keep_pause, name),
                    partial(control_follower.record_breaker, name),
                )
                self.dispatchers[name] = dispatcher
                self.condition.started(name, dispatcher)
                control_follower.apply_to(name)
                self._outages.tell(name)
                await self._isolated(name, dispatcher, stop)
            except* RetryLater as group:
                self._report_blocked(name, group)
                _log.warning("subscriber.recovering", subscriber=name, reason=str(next(leaves(group))))
                await self._wait(stop, _RESTART_S)
            except* ForeignRecord as records:
                # Only this subscriber stops; other subscribers and ingest continue.
                await self._refuse(name, str(next(leaves(records))), stop)
            except* ConfigurationError as mistakes:
                # An error on opening a plugin ends a daemon that starts, but not a running daemon.
                if not self.in_effect.is_reconfigured:
                    raise
                await self._refuse(name, str(next(leaves(mistakes))), stop)

    async def _isolated(self, name: SubscriberName, dispatcher: Dispatcher, stop: asyncio.Event) -> None:
        """Run `dispatcher` in its own task, so that a plugin can cancel only the task of its dispatcher.

        Raises `RetryLater` if the plugin cancelled the task.
        """
        async with asyncio.TaskGroup() as group:
            running = group.create_task(dispatcher.run(stop), name=f"run {name}")
        if running.cancelled():
            self._count_failure(name)
            raise RetryLater(f"the plugin of subscriber {name} cancelled the task that called the plugin")

    def _count_failure(self, name: SubscriberName) -> None:
        self.observers.metrics.subscriber(name).plugin_failed()

    async def _refuse(self, name: SubscriberName, reason: str, stop: asyncio.Event) -> None:
        """Report that `name` can't deliver until an operator acts, and wait before the next try."""
        self.condition.blocked(name, reason)
        _log.error("subscriber.refused", subscriber=name, reason=reason)
        await self._wait(stop, _REOPEN_S)

    async def _wait(self, stop: asyncio.Event, seconds: float) -> None:
        with suppress(TimeoutError):
            async with self.clock.timeout(seconds):
                await stop.wait()

    def _report_blocked(self, name: SubscriberName, failure: BaseExceptionGroup[RetryLater]) -> None:
        # If the log is open, then the plugin waits for its target.
        if failure.subgroup(LogUnavailable) is None:
            self.condition.blocked(name, str(next(leaves(failure))))
        else:
            self.condition.unblocked(name)
