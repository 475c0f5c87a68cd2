"""Assembly of the log, the tracer, and subscribers' dispatchers from the settings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from socket import gethostname
from typing import Protocol

import structlog

from streamer import DISTRIBUTION
from streamer.app.chains.subscriptions import forwarding_of, upstream_of
from streamer.app.enriching import SharedLookups
from streamer.app.plan import Plan
from streamer.clock import Clock
from streamer.dispatch.admission.admission import (
    Admission,
    FloodGuard,
    GuardLimits,
    Holds,
    OnBreaker,
    OnPause,
)
from streamer.dispatch.admission.circuit_breaker import BreakerLimits, CircuitBreaker
from streamer.dispatch.admission.concurrency import AdaptiveConcurrency, TokenBucket
from streamer.dispatch.delivery.attempts import Attempts, DispatchObserver
from streamer.dispatch.delivery.delivery_tracing import DeliveryTracing
from streamer.dispatch.delivery.plugin_calls import PluginCalls
from streamer.dispatch.delivery.retry_schedule import RetrySchedule
from streamer.dispatch.dispatcher import Dispatcher, DispatchOptions
from streamer.dispatch.lanes.lanes import Order
from streamer.dispatch.state import Limits
from streamer.events import Event, SubscriberName
from streamer.observe.process import Pulses
from streamer.observe.tracers import Exporter, QueuedTracer, TraceMetrics
from streamer.ports import (
    Batching,
    ControlledLog,
    DescribedLog,
    EventHistory,
    EventLog,
    KnownOrgs,
    LogReader,
    Ownership,
    RecordedHoles,
    RecordedPositions,
    Tracer,
)
from streamer.ports.tracing import EventTraces
from streamer.settings import LogSettings, Settings, SqliteLogSettings, TracingSettings
from streamer.supervision.conditions import LogView

_LEAST_FINISHED = 256
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """Creates the dispatchers of one plan, for one log."""

    plan: Plan
    clock: Clock
    log: LogReader
    lookups: SharedLookups
    tracer: Tracer | None = None

    def dispatcher(
        self, name: SubscriberName, observer: DispatchObserver, on_pause: OnPause, on_breaker: OnBreaker
    ) -> Dispatcher:
        """Return a new dispatcher, without any I/O."""
        settings = self.plan.settings.subscribers[name]
        subscriber = self.plan.subscribers[name]()
        batching = Batching.of(subscriber)
        batch = batching.size if batching else 1
        subscription = self.plan.subscription(name)
        return Dispatcher(
            subscription=subscription,
            reader=self.log,
            attempts=Attempts(
                plugin=PluginCalls(
                    name=name,
                    subscriber=subscriber,
                    timeout_s=settings.deliver_timeout_s,
                    clock=self.clock,
                ),
                route=self.plan.routes[name],
                observer=observer,
                receipts=subscription.receipts,
                upstream=upstream_of(name, self.plan.settings.subscribers),
                forwarding=forwarding_of(name, self.plan.settings.subscribers),
                enrichment=self.plan.enrichment(name, self.lookups),
                tracing=DeliveryTracing.by(self.tracer, name, self.clock),
            ),
            admission=self._admission(name, on_pause, on_breaker, batch),
            clock=self.clock,
            options=DispatchOptions(
                limits=self._limits(name, batch),
                schedule=RetrySchedule(**settings.retry.model_dump()),
                order=Order(settings.order),
                session_s=self._session_s(),
                batching=batching,
                join_within_s=settings.join_within_s,
                deliver_within_s=settings.deliver_within,
                on_read=self.lookups.on_read,
            ),
        )

    def _limits(self, name: SubscriberName, batch: int) -> Limits:
        settings = self.plan.settings.subscribers[name]
        return Limits(
            waiting=settings.max_waiting,
            waiting_bytes=settings.max_waiting_bytes,
            parked=settings.max_parked,
            # Enough while the log records faster than eight deliveries take.
            finished=max(_LEAST_FINISHED, 8 * settings.in_flight_limit(batch)),
        )

    def _admission(
        self, name: SubscriberName, on_pause: OnPause, on_breaker: OnBreaker, batch: int
    ) -> Admission:
        settings = self.plan.settings.subscribers[name]
        rate = settings.rate
        return Admission(
            clock=self.clock,
            breaker=CircuitBreaker(BreakerLimits(**settings.breaker.model_dump()), self.clock),
            concurrency=AdaptiveConcurrency(settings.in_flight_limit(batch), self.clock, batch=batch),
            holds=Holds(
                name,
                FloodGuard(name, GuardLimits(**settings.guard.model_dump())),
                self.clock,
                on_pause=on_pause,
            ),
            rate=TokenBucket(rate.per_second, rate.burst, self.clock) if rate else None,
            on_breaker=on_breaker,
        )

    def _session_s(self) -> float | None:
        # A lock gives SQLite's file a single owner, so no session is needed.
        kafka = self.plan.settings.log.kafka
        return kafka.session_timeout_s if kafka else None


class Log(
    EventLog,
    DescribedLog,
    RecordedHoles,
    RecordedPositions,
    KnownOrgs,
    Ownership,
    ControlledLog,
    LogView,
    Protocol,
):
    """Combined interface of all of a log's ports."""


@asynccontextmanager
async def open_log(
    settings: Settings, clock: Clock, pulses: Pulses, tracer: Tracer | None = None
) -> AsyncIterator[Log]:
    """Open the configured log, Kafka or SQLite, inside the context. Only the chosen log is imported."""
    traceparent = None if tracer is None else partial(_traceparent, tracer)
    if settings.log.kafka:
        from streamer.log.kafka.log import KafkaLog  # noqa: PLC0415 - costs a fifth of a second

        async with KafkaLog.open(settings.log.kafka, clock, pulses, traceparent=traceparent) as kafka:
            _log.info(
                "log.opened",
                kafka=settings.log.kafka.bootstrap_servers,
                prefix=settings.log.kafka.prefix,
            )
            yield kafka
    else:
        from streamer.log.sqlite import SqliteLog  # noqa: PLC0415 - not needed beside Kafka

        file = settings.log.sqlite or SqliteLogSettings()
        async with SqliteLog.open(file, clock, pulses) as sqlite:
            _log.info("log.opened", sqlite=str(file.path.absolute()))
            yield sqlite


def _traceparent(tracer: Tracer, event: Event) -> str:
    return tracer.trace_of(event).traceparent


@asynccontextmanager
async def open_history(settings: LogSettings, clock: Clock) -> AsyncIterator[EventHistory]:
    """Open the configured log read-only inside the context, even if other processes own the log."""
    if settings.kafka:
        from streamer.log.kafka.history.history import KafkaHistory  # noqa: PLC0415 - costs a fifth of a second

        async with KafkaHistory.open(settings.kafka) as kafka:
            yield kafka
    else:
        from streamer.log.sqlite import SqliteHistory  # noqa: PLC0415 - not needed beside Kafka

        async with SqliteHistory.open(settings.sqlite or SqliteLogSettings(), clock) as sqlite:
            yield sqlite


_OTEL_MODULES = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter")


def has_opentelemetry() -> bool:
    """Return true if the packages of the extra `otel` are installed."""
    try:
        return all(find_spec(name) for name in _OTEL_MODULES)
    except ModuleNotFoundError:
        return False


def tracer_of(settings: TracingSettings | None, metrics: TraceMetrics, role: str) -> QueuedTracer | None:
    """Return the tracer of a process with `role`, or `None` if tracing is off."""
    if settings is None:
        return None
    return QueuedTracer(
        EventTraces(settings.ratio),
        partial(_span_exporter, settings, role),
        metrics,
        limit=settings.max_waiting_spans,
    )


def _span_exporter(settings: TracingSettings, role: str) -> Exporter:
    # The import takes half a second, and OpenTelemetry is not always installed.
    from streamer.observe.otlp import OtlpExporter  # noqa: PLC0415 - as said

    resource = {
        "service.name": settings.service_name,
        "service.version": version(DISTRIBUTION),
        "service.instance.id": gethostname(),
        "streamer.role": role,
    }
    return OtlpExporter(settings.otlp, resource)
