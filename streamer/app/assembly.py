"""Assembly of a subscriber's dispatcher from its settings."""

from dataclasses import dataclass

from streamer.app.chains.subscriptions import forwarding_of, upstream_of
from streamer.app.enriching.shared_lookups import SharedLookups
from streamer.app.plan import Plan
from streamer.clock import Clock
from streamer.dispatch.admission.admission import Admission, OnBreaker, OnPause
from streamer.dispatch.admission.circuit_breaker import BreakerLimits, CircuitBreaker
from streamer.dispatch.admission.concurrency import AdaptiveConcurrency
from streamer.dispatch.admission.flood_guard import FloodGuard, GuardLimits
from streamer.dispatch.admission.token_bucket import TokenBucket
from streamer.dispatch.delivery.attempts import Attempts, DispatchObserver
from streamer.dispatch.delivery.retry_schedule import RetrySchedule
from streamer.dispatch.delivery.tracing import DeliveryTracing
from streamer.dispatch.dispatcher import Dispatcher, DispatchOptions
from streamer.dispatch.lanes.lane import Order
from streamer.dispatch.state import Limits
from streamer.events import SubscriberName
from streamer.ports import Batching, LogReader, Tracer

_LEAST_FINISHED = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """Makes the dispatchers of one plan, for one log."""

    plan: Plan
    clock: Clock
    log: LogReader
    lookups: SharedLookups
    tracer: Tracer | None = None

    def dispatcher(
        self, name: SubscriberName, observer: DispatchObserver, on_pause: OnPause, on_breaker: OnBreaker
    ) -> Dispatcher:
        """Return a new dispatcher; no I/O happens yet."""
        settings = self.plan.settings.subscribers[name]
        subscriber = self.plan.subscribers[name]()
        batching = Batching.of(subscriber)
        batch = batching.size if batching else 1
        subscription = self.plan.subscription(name)
        return Dispatcher(
            subscription=subscription,
            reader=self.log,
            attempts=Attempts(
                name=name,
                subscriber=subscriber,
                route=self.plan.routes[name],
                timeout_s=settings.deliver_timeout_s,
                clock=self.clock,
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
                on_read=self.lookups.changed,
            ),
        )

    def _limits(self, name: SubscriberName, batch: int) -> Limits:
        settings = self.plan.settings.subscribers[name]
        return Limits(
            waiting=settings.max_waiting,
            waiting_bytes=settings.max_waiting_bytes,
            parked=settings.max_parked,
            # Enough for a log that records in less time than eight deliveries take.
            finished=max(_LEAST_FINISHED, 8 * settings.in_flight_limit(batch)),
        )

    def _admission(
        self, name: SubscriberName, on_pause: OnPause, on_breaker: OnBreaker, batch: int
    ) -> Admission:
        settings = self.plan.settings.subscribers[name]
        rate = settings.rate
        return Admission(
            name=name,
            clock=self.clock,
            breaker=CircuitBreaker(BreakerLimits(**settings.breaker.model_dump()), self.clock),
            concurrency=AdaptiveConcurrency(settings.in_flight_limit(batch), self.clock, batch=batch),
            guard=FloodGuard(name, GuardLimits(**settings.guard.model_dump())),
            rate=TokenBucket(rate.per_second, rate.burst, self.clock) if rate else None,
            on_pause=on_pause,
            on_breaker=on_breaker,
        )

    def _session_s(self) -> float | None:
        # SQLite's file has one owner, by its lock, so there is no session.
        kafka = self.plan.settings.log.kafka
        return kafka.session_timeout_s if kafka else None
