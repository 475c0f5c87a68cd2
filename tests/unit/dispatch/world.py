"""A dispatcher between a log in memory and a target whose answers a test writes."""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, cast

from streamer.clock import TurnedClock
from streamer.dispatch.admission.admission import Admission, FloodGuard, GuardLimits, Holds
from streamer.dispatch.admission.circuit_breaker import BreakerLimits, CircuitBreaker
from streamer.dispatch.admission.concurrency import AdaptiveConcurrency, TokenBucket
from streamer.dispatch.delivery.attempts import Attempts
from streamer.dispatch.delivery.delivery_tracing import DeliveryTracing
from streamer.dispatch.delivery.enrichment import Enrichment
from streamer.dispatch.delivery.plugin_calls import PluginCalls
from streamer.dispatch.delivery.retry_schedule import RetrySchedule
from streamer.dispatch.delivery.route import Keys, Route, RouteSource, compile_route
from streamer.dispatch.dispatcher import Dispatcher, DispatchOptions
from streamer.dispatch.forwarding import Upstream
from streamer.dispatch.lanes.lanes import Order
from streamer.dispatch.state import Limits
from streamer.errors import ConfigurationError
from streamer.events import (
    DeadLetter,
    Delivered,
    Delivery,
    Event,
    Outcome,
    Partition,
    Retry,
    SettledOffsets,
    Start,
    SubscriberName,
)
from streamer.log.memory import MemoryFeed, MemoryLog
from streamer.observe.metrics import Metrics
from streamer.observe.tracers import MemoryTracer
from streamer.ports import Batching, Subscription
from tests.contracts.values import an_append, an_event, append_to

TARGET = SubscriberName("target")
_MOST_TURNS = 10
ACCOUNTS = Partition(topic="salesforce.cdc.Account", number=0)

Answer = Outcome | Exception | Callable[[], Any]


@dataclass
class ScriptedTarget:
    """Answers each event's attempts in turn as `answers` says, and then that it was delivered.

    While `closed`, attempts stay open; while `down`, all of them fail.
    """

    answers: dict[str, deque[Answer]] = field(default_factory=lambda: defaultdict(deque))
    began: list[str] = field(default_factory=list)
    delivered: list[str] = field(default_factory=list)
    attempts: list[int] = field(default_factory=list)
    bodies: dict[str, Any] = field(default_factory=dict)
    parents: list[str | None] = field(default_factory=list)
    open: set[str] = field(default_factory=set)
    overlapping: list[str] = field(default_factory=list)
    closed: bool = False
    down: bool = False
    any_order: bool = False
    entered: int = 0
    batches: list[list[str]] = field(default_factory=list)
    batch_size: int = 1
    _opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def __aenter__(self) -> Self:
        """Count."""
        self.entered += 1
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Count."""
        self.entered -= 1

    async def deliver(self, delivery: Delivery, /) -> Outcome:
        """Answer as written."""
        # Not asserted here, where it would only be a plugin that raised.
        if delivery.event.key in self.open and not self.any_order:
            self.overlapping.append(delivery.event.id)
        self.open.add(delivery.event.key)
        self.began.append(delivery.event.id)
        self.attempts.append(delivery.attempt)
        self.bodies[delivery.event.id] = delivery.body
        self.parents.append(delivery.traceparent)
        try:
            await asyncio.sleep(0)
            while self.closed:
                await self._opened.wait()
            return await self._answer(delivery.event)
        finally:
            self.open.discard(delivery.event.key)

    async def deliver_many(self, deliveries: Sequence[Delivery], /) -> Sequence[Outcome]:
        """Answer each as written; one that is to raise raises for all."""
        self.batches.append([each.event.id for each in deliveries])
        outcomes = await asyncio.gather(*map(self.deliver, deliveries), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return cast("list[Outcome]", outcomes)

    def hang(self) -> None:
        """Let attempts stay open."""
        self.closed = True
        self._opened.clear()

    def release(self) -> None:
        """Let the open attempts end."""
        self.closed = False
        self._opened.set()

    async def _answer(self, event: Event) -> Outcome:
        if self.down:
            return Retry(reason="can't connect")
        answer = self.answers[event.id].popleft() if self.answers[event.id] else Delivered()
        if callable(answer):
            answer = await answer()
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Delivered):
            self.delivered.append(event.id)
        return answer


def middle(low: float, high: float) -> float:
    """Jitter without chance."""
    return (low + high) / 2


@dataclass
class World:
    """One subscriber; its retries come after 1, 2, 4 s and end after a minute."""

    clock: TurnedClock = field(default_factory=TurnedClock)
    log: MemoryLog = field(default_factory=MemoryLog)
    target: ScriptedTarget = field(default_factory=ScriptedTarget)
    limits: Limits = field(default_factory=lambda: Limits(waiting=100))
    in_flight: int = 8
    order: Order = Order.KEY
    receipts: bool = False
    upstream: Upstream = field(default_factory=Upstream)
    breaker: BreakerLimits = field(default_factory=lambda: BreakerLimits(minimum=10_000))
    guard: GuardLimits = field(default_factory=lambda: GuardLimits(consecutive=10_000, minimum=10_000))
    pauses: list[tuple[str, str]] = field(default_factory=list)
    session_s: float | None = None
    batching: Batching | None = None
    rate: tuple[float, int] | None = None
    route: Route = field(default_factory=lambda: Route(name=TARGET))
    enrichment: Enrichment | None = None
    on_read: Callable[[Event], None] = lambda _: None
    tracer: MemoryTracer | None = None
    schedule: RetrySchedule = field(
        default_factory=lambda: RetrySchedule(
            first_delay_s=2.0, max_delay_s=8.0, give_up_after_s=60.0, jitter=middle
        )
    )

    metrics: Metrics = field(init=False)

    def __post_init__(self) -> None:
        self.metrics = Metrics(clock=self.clock)

    def dispatcher(self) -> Dispatcher:
        """Return a new process's dispatcher."""
        return Dispatcher(
            subscription=Subscription(
                subscriber=TARGET, patterns=("*",), start=Start.EARLIEST, after=self.upstream.names
            ),
            reader=self.log,
            attempts=Attempts(
                plugin=PluginCalls(name=TARGET, subscriber=self.target, timeout_s=30.0, clock=self.clock),
                route=self.route,
                observer=self.metrics.subscriber(TARGET),
                receipts=self.receipts,
                enrichment=self.enrichment,
                upstream=self.upstream,
                tracing=DeliveryTracing.by(self.tracer, TARGET, self.clock),
            ),
            admission=self.admission(),
            clock=self.clock,
            options=DispatchOptions(
                limits=self.limits,
                schedule=self.schedule,
                order=self.order,
                session_s=self.session_s,
                batching=self.batching,
                on_read=[self.on_read],
            ),
        )

    def admission(self) -> Admission:
        """Return what holds attempts back; as many as allowed may be under way from the start."""
        return Admission(
            clock=self.clock,
            breaker=CircuitBreaker(self.breaker, self.clock, jitter=middle),
            concurrency=AdaptiveConcurrency(
                self.in_flight,
                self.clock,
                start=self.in_flight,
                batch=self.batching.size if self.batching else 1,
            ),
            holds=Holds(
                TARGET,
                FloodGuard(TARGET, self.guard),
                self.clock,
                on_pause=lambda by, reason: self.pauses.append((by, reason)),
            ),
            rate=TokenBucket(*self.rate, self.clock) if self.rate else None,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Dispatcher]:
        """Run a dispatcher inside the context, and stop it in the end."""
        dispatcher, stopping = self.dispatcher(), asyncio.Event()
        running = asyncio.create_task(dispatcher.run(stopping))
        try:
            await self.quiet()
            yield dispatcher
            stopping.set()
            await self.turn_until(running.done)
            await running
            assert not self.target.overlapping, "two attempts of one key at once"
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    async def run_and_crash(self, rounds: int) -> None:
        """Run a dispatcher for some rounds of the loop, then end it where it stands."""
        running = asyncio.create_task(self.dispatcher().run(asyncio.Event()))
        for _ in range(rounds):
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running])

    async def append(self, *names: int | str, key: str | None = None, entity: str = "Account") -> None:
        """Append events with the ids `names`; each has its own key where none is given."""
        what = f"salesforce.cdc.{entity}.updated"
        await append_to(self.log, an_append(*(an_event(name, what=what, key=key) for name in names)))

    async def quiet(self) -> None:
        """Let everything happen that does not need time."""
        for _ in range(_MOST_TURNS):
            await self.clock.turn(0)
            if not asyncio.get_running_loop()._ready:  # type: ignore[attr-defined] # tells that all wait
                return

    async def turn(self, seconds: float) -> None:
        """Let time pass, and what it sets off happen."""
        await self.clock.turn(seconds)
        await self.quiet()

    async def turn_until(self, holds: Callable[[], bool], *, within_s: int = 600) -> None:
        """Turn second by second until `holds`."""
        for _ in range(within_s):
            if holds():
                return
            await self.clock.turn(1)
        assert holds()

    @property
    def feed(self) -> MemoryFeed:
        """The place of the dispatcher that runs."""
        return self.log.consumers.feeds[-1]

    @property
    def progress(self) -> SettledOffsets:
        """Return the log's progress in the accounts' partition."""
        return self.log.settled[TARGET].get(ACCOUNTS, SettledOffsets(next_offset=0))

    @property
    def letters(self) -> list[DeadLetter]:
        """The dead letters in the log."""
        return self.log.letters


def route(**written: Any) -> Route:
    """Return the compiled route of `TARGET`, whose expressions see receipts and some look-ups."""
    lookups = ("lookups", "record", "account", "owner")
    source = RouteSource(**{"more": ("receipts", *lookups), "lookups": lookups, **written})
    return compile_route(TARGET, source, mistake=mistaken)


def mistaken(keys: Keys, sentence: str, detail: str) -> ConfigurationError:
    """Return an error that says all."""
    return ConfigurationError(f"{keys}: {sentence}: {detail}")
