"""The composition root: the only place that knows concrete classes."""

import asyncio
from asyncio import Task
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Protocol

import aiohttp
import structlog

from streamer.clock import Clock
from streamer.configuration import Document, load
from streamer.dispatch.attempts import Attempts, DispatchObserver
from streamer.dispatch.dispatcher import Dispatcher, Limits
from streamer.dispatch.route import Route, compile_route
from streamer.dispatch.schedule import RetrySchedule
from streamer.errors import ConfigurationError, LogUnavailable, RetryLater, SalesforceUnavailable
from streamer.events import Channel, OrgId, SubscriberName
from streamer.ingest.keeper import Keeper
from streamer.ingest.quarantine import Quarantine
from streamer.ingest.relay import Ingest, IngestObserver
from streamer.log.kafka import KafkaLog
from streamer.log.sqlite import SqliteLog
from streamer.lookout import Lookout
from streamer.normalise import normaliser_for
from streamer.observe.endpoint import serving
from streamer.observe.health import Health, Heartbeat
from streamer.observe.metrics import Metrics
from streamer.observe.watchdog import Watchdog
from streamer.plugins import make_subscriber
from streamer.ports import EventLog, LogReader, Ownership, PluginContext, Subscriber, Subscription
from streamer.pulse import Pulses
from streamer.salesforce.auth import Tokens
from streamer.salesforce.bayeux_session import BayeuxOptions
from streamer.salesforce.cometd import CometdSource
from streamer.salesforce.login import login
from streamer.settings import Settings, SqliteLogSettings
from streamer.status import LogCondition, Status
from streamer.stuck import StuckLimits
from streamer.watching import WatchedDispatch, WatchedIngest, Watcher

_log = structlog.get_logger()

_FIRST_PAUSE_S = 1.0
_MAX_PAUSE_S = 30.0
_FOLLOWED_WITHIN_S = 10.0
_LOOP_LIMIT_S = 30.0


class Role(StrEnum):
    """Which side of the log this process serves."""

    ALL = "all"
    INGEST = "ingest"
    DISPATCH = "dispatch"


class Log(EventLog, LogReader, Ownership, LogCondition, Protocol):
    """Everything that a log does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A configuration that was checked to the last expression, before anything connects."""

    settings: Settings
    subscribers: Mapping[SubscriberName, Callable[[], Subscriber]]
    routes: Mapping[SubscriberName, Route]


def plan(document: Document, clock: Clock) -> Plan:
    """Check all of `document`, the plugins' settings and the expressions included.

    Raises `ConfigurationError` with one line for each mistake.
    """
    settings = load(document)
    makers: dict[SubscriberName, Callable[[], Subscriber]] = {}
    routes: dict[SubscriberName, Route] = {}
    mistakes: list[str] = []
    for name, each in settings.subscribers.items():
        context = PluginContext(name=name, clock=clock)
        makers[name] = partial(make_subscriber, each, context, document)
        try:
            makers[name]()
            routes[name] = compile_route(
                name, when=each.when, body=each.body, text=each.text, document=document
            )
        except ConfigurationError as error:
            mistakes.append(str(error))
    if mistakes:
        raise ConfigurationError("\n".join(mistakes))
    return Plan(settings=settings, subscribers=makers, routes=routes)


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

    def __post_init__(self) -> None:
        """Declare the metrics."""
        self.metrics = Metrics(clock=self.clock)
        self._pulses = Pulses(self.clock)

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
            dispatching = self._start_dispatch(group, log, stopping)
            ingesting = self._start_ingest(group, log)
            await stopping.wait()
            await self._drain(ingesting, dispatching)

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

    async def _drain(self, ingesting: Sequence[Task[None]], dispatching: Sequence[Task[None]]) -> None:
        self._status.stopping = True
        _log.info("daemon.draining", grace_period_s=self.plan.settings.grace_period_s)
        for task in ingesting:
            task.cancel()
        try:
            async with self.clock.timeout(self.plan.settings.grace_period_s):
                if tasks := [*ingesting, *dispatching]:
                    await asyncio.wait(tasks)
        except TimeoutError:
            _log.warning(
                "daemon.cancelling", reason="deliveries outlasted the grace period; they are repeated"
            )
            for task in dispatching:
                task.cancel()

    def _start_ingest(self, group: asyncio.TaskGroup, log: Log) -> list[Task[None]]:
        if self.role is Role.DISPATCH:
            return []
        self._status.ingests = True
        self._status.waiting_for["salesforce"] = "Not logged in to Salesforce yet."
        return [group.create_task(self._ingest(log), name="ingest")]

    def _start_dispatch(
        self, group: asyncio.TaskGroup, log: Log, stopping: asyncio.Event
    ) -> list[Task[None]]:
        if self.role is Role.INGEST:
            return []
        self._status.awaited = frozenset(self.plan.settings.subscribers)
        return [
            group.create_task(self._dispatch(name, log, stopping), name=f"dispatch {name}")
            for name in self.plan.settings.subscribers
        ]

    async def _ingest(self, log: Log) -> None:
        settings = self.plan.settings
        await self._status.followed(self.clock, within_s=_FOLLOWED_WITHIN_S)
        async with aiohttp.ClientSession() as http:
            tokens = Tokens(http, login(settings.org), self.clock)
            org = await self._authenticated(tokens)
            channels = {Channel(org=org, path=each.path): each for each in settings.channels}
            options = BayeuxOptions(api_version=settings.org.api_version)
            async with CometdSource(
                tokens, self.clock, options=options, observer=self.metrics.session
            ) as source:

                def ingest(channel: Channel) -> Ingest:
                    return Ingest(
                        channel=channel,
                        source=source,
                        log=log,
                        normalise=normaliser_for(channel, key=channels[channel].key),
                        quarantine=Quarantine(clock=self.clock),
                        clock=self.clock,
                        observer=self._ingest_observer(channel),
                        start=channels[channel].start,
                        on_refused=channels[channel].on_refused_replay_id,
                    )

                keeper = Keeper(ownership=log, channels=list(channels), ingest=ingest, clock=self.clock)
                self._status.keeper, self._status.source = keeper, source
                await keeper.run()

    async def _authenticated(self, tokens: Tokens) -> OrgId:
        pause_s = _FIRST_PAUSE_S
        waiting_for = self._status.waiting_for
        while True:
            try:
                org = (await tokens.token()).org
            except SalesforceUnavailable as error:
                waiting_for["salesforce"] = str(error)
                _log.warning("salesforce.unavailable", reason=str(error), tried_again_in_s=pause_s)
                await self.clock.sleep(pause_s)
                pause_s = min(_MAX_PAUSE_S, pause_s * 2)
            else:
                del waiting_for["salesforce"]
                return org

    async def _dispatch(self, name: SubscriberName, log: Log, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            dispatcher = self._dispatcher(name, log)
            self._status.dispatchers[name] = dispatcher
            try:
                await dispatcher.run(stopping)
            except* RetryLater as group:
                self._note_unopened(name, group)
                _log.warning("subscriber.recovering", subscriber=name, reason=str(group.exceptions[0]))
                await self.clock.sleep(_FIRST_PAUSE_S)

    def _note_unopened(self, name: SubscriberName, failure: BaseExceptionGroup[RetryLater]) -> None:
        # What is not the log is the plugin, which waits for its target.
        if failure.subgroup(LogUnavailable) is None:
            self._status.unopened[name] = str(failure.exceptions[0])
        else:
            self._status.unopened.pop(name, None)

    def _dispatcher(self, name: SubscriberName, log: Log) -> Dispatcher:
        settings = self.plan.settings.subscribers[name]
        return Dispatcher(
            subscription=Subscription(subscriber=name, patterns=settings.on, start=settings.start),
            reader=log,
            attempts=Attempts(
                name=name,
                subscriber=self.plan.subscribers[name](),
                route=self.plan.routes[name],
                timeout_s=settings.deliver_timeout_s,
                clock=self.clock,
                observer=self._dispatch_observer(name),
            ),
            schedule=RetrySchedule(
                first_delay_s=settings.retry.first_delay_s,
                max_delay_s=settings.retry.max_delay_s,
                give_up_after_s=settings.retry.give_up_after_s,
            ),
            limits=Limits(in_flight=settings.max_in_flight, waiting=settings.max_waiting),
            clock=self.clock,
            freeze_limit_s=_freeze_limit_s(self.plan.settings),
        )

    def _ingest_observer(self, channel: Channel) -> IngestObserver:
        metrics = self.metrics.channel(channel)
        return WatchedIngest(metrics=metrics, watcher=self.watcher) if self.watcher else metrics

    def _dispatch_observer(self, name: SubscriberName) -> DispatchObserver:
        metrics = self.metrics.subscriber(name)
        return WatchedDispatch(name=name, metrics=metrics, watcher=self.watcher) if self.watcher else metrics


@asynccontextmanager
async def open_log(settings: Settings, clock: Clock, pulses: Pulses) -> AsyncIterator[Log]:
    """Open the log that is configured: Kafka, or the embedded one."""
    if settings.log.kafka:
        async with KafkaLog.open(settings.log.kafka, clock, pulses) as kafka:
            yield kafka
    else:
        async with SqliteLog.open(settings.log.sqlite or SqliteLogSettings(), clock, pulses) as sqlite:
            # What nobody is configured to read any more must not hold back retention.
            await sqlite.expect(settings.subscribers)
            yield sqlite


def _freeze_limit_s(settings: Settings) -> float | None:
    # Heartbeats are a sixth of a session apart. A file has one owner, by its lock.
    return settings.log.kafka.session_timeout_s / 2 if settings.log.kafka else None
