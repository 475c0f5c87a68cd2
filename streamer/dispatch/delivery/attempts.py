"""Delivery attempts of one subscriber, which turn a plugin's errors into outcomes."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

import structlog

from streamer.dispatch.delivery.delivery_tracing import DeliveryTracing, sampled_trace
from streamer.dispatch.delivery.enrichment import Ahead, Enrichment
from streamer.dispatch.delivery.foreign_values import kept, masked
from streamer.dispatch.delivery.plugin_calls import PluginCalls
from streamer.dispatch.delivery.route import EXCLUDED, Route, exclusion
from streamer.dispatch.forwarding import (
    Forwarding,
    Upstream,
    receipts_of,
    redriven,
)
from streamer.dispatch.lanes.lanes import Lane
from streamer.errors import BrokenRoute, RecordsRefused, RetryLater, Stop
from streamer.events import (
    DeadLetter,
    Delivered,
    Delivery,
    Entry,
    Event,
    FailedAttempt,
    FailureClass,
    Forwarded,
    Hold,
    JsonObject,
    Outcome,
    Receipt,
    Reject,
    Retry,
    Skip,
    Stage,
)

_log = structlog.get_logger()

_STOPPED_S = 60.0
_NOTHING_MORE: JsonObject = {}
_HINT = "Read the error and the target's answer, fix the cause, then redrive the dead letter."


class DispatchObserver(Protocol):
    """Observer of one subscriber's attempts, for metrics; its methods must not block or raise."""

    def attempted(self, event: Event, outcome: Outcome, seconds: float | None, trace_id: str = "") -> None:
        """An attempt took `seconds` (`None` if no request was sent); a sampled event has a `trace_id`."""
        ...

    def called(self, events: int) -> None:
        """The plugin was called with a batch of `events`."""
        ...

    def set_aside(self, letter: DeadLetter) -> None:
        """An event became a dead letter."""
        ...


class AttemptResult(NamedTuple):
    """Outcome of one attempt at `entry`, with its duration and its share of the plugin's call.

    `seconds` does not include look-ups. With `awaits_lookup`, no request was sent to
    the target, because a record could not be read. The plugin was called with
    `delivery`; without a `delivery`, the plugin was not called.
    """

    entry: Entry
    outcome: Outcome
    seconds: float
    share: float = 1.0
    awaits_lookup: bool = False
    delivery: Delivery | None = None

    @property
    def was_sent(self) -> bool:
        """True if a request was sent to the target."""
        if type(self.outcome) is Delivered:
            return True
        is_unsent = isinstance(self.outcome, Skip | Reject) and not self.outcome.sent
        return not (self.awaits_lookup or is_unsent)

    @property
    def trace_id(self) -> str:
        """Id of the event's trace if the trace is sampled, otherwise empty."""
        delivery = self.delivery
        return "" if delivery is None or delivery.traceparent is None else sampled_trace(delivery.traceparent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """Makes delivery attempts at one target; errors of the target or the plugin become outcomes.

    With `receipts`, each delivery gets a receipt. `upstream` describes the upstream
    subscribers, and `forwarding` serves the downstream subscribers and needs
    receipts. With `tracing`, attempts and deliveries have spans.
    """

    plugin: PluginCalls
    route: Route
    observer: DispatchObserver
    receipts: bool = False
    upstream: Upstream = field(default_factory=Upstream)
    forwarding: Forwarding | None = None
    enrichment: Enrichment | None = None
    tracing: DeliveryTracing | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Keep the plugin and the look-ups open inside the context; raises errors of `PluginCalls.opened`."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.plugin.opened())
            if self.enrichment is not None:
                await stack.enter_async_context(self.enrichment.opened())
            yield

    def admits(self, event: Event) -> bool:
        """Return whether `event` is for this target; true if its look-ups must still decide.

        Raises `BrokenRoute`.
        """
        return self._skip(event) is None

    def admitted(self, entry: Entry) -> Entry | None:
        """Return `entry`, or notify the observer and return `None` if its event is not for this target.

        The returned entry is marked as admitted if no look-up and no other half can
        change this decision.
        """
        event = entry.event
        try:
            skip = self._skip(event)
        except BrokenRoute:
            # The event stays queued, and becomes a dead letter when its delivery is attempted.
            return entry
        if skip is not None:
            self.observer.attempted(event, skip, None)
            return None
        if self.route.when is None or self.upstream.joins:
            return entry
        return Entry(
            partition=entry.partition, offset=entry.offset, event=event, size=entry.size, is_admitted=True
        )

    def redriven(self, event: Event) -> Event:
        """Return `event`, which was a dead letter, in the form for downstream subscribers."""
        return redriven(event, self.plugin.name) if self.forwarding else event

    def forwarded(self, event: Event, proof: Receipt | DeadLetter | None) -> Sequence[Forwarded]:
        """Return the settled `event` for downstream subscribers; without a `proof`, the event was skipped."""
        return self.forwarding.settled(event, proof, self.plugin.clock.now()) if self.forwarding else ()

    async def try_once(
        self, lane: Lane, ahead: Ahead, is_ours: Callable[[Lane], Awaitable[bool]]
    ) -> AttemptResult | None:
        """Deliver the head of `lane` and return the outcome; `None` if `is_ours` returns false first."""
        shaped = await self.shaped(lane, ahead)
        if isinstance(shaped, AttemptResult):
            return self.noted(shaped)
        # The lane can have been lost while records were read.
        if self.enrichment is not None and not await is_ours(lane):
            return None
        return await self.delivered(lane, shaped)

    async def delivered(self, lane: Lane, delivery: Delivery) -> AttemptResult:
        """Deliver `delivery`, the head of `lane`, and return the outcome."""
        entry, began = lane.head, self.plugin.clock.monotonic()
        outcome = await self.plugin.delivered(delivery)
        seconds = self.plugin.clock.monotonic() - began
        return self.noted(AttemptResult(entry=entry, outcome=outcome, seconds=seconds, delivery=delivery))

    async def shaped(self, lane: Lane, ahead: Ahead) -> Delivery | AttemptResult:
        """Return the delivery of the head of `lane`, or an outcome if no delivery is needed or possible.

        `ahead` returns the next events; their records can be looked up together with
        the records of the head.
        """
        if lane.retries.first_tried_at is None:
            lane.retries.first_tried_at = self.plugin.clock.now()
        entry = lane.head
        try:
            # An event that is not for the target costs no look-up. The log returns parked events
            # without the mark `is_admitted`, because an earlier configuration can have admitted
            # these events.
            shaped: Delivery | Skip | Reject | None = None if entry.is_admitted else self._skip(entry.event)
            if shaped is None:
                names = await self.enrichment.names(entry.event, ahead) if self.enrichment else None
                shaped = self._shaped(entry.event, lane.retries.attempts + 1, names)
        except BrokenRoute as error:
            shaped = _broken(error)
        except RecordsRefused as error:
            shaped = _refused(error)
        except (RetryLater, Stop) as error:
            return AttemptResult(entry=entry, outcome=_waiting(error), seconds=0.0, awaits_lookup=True)
        if isinstance(shaped, Delivery):
            return shaped
        return AttemptResult(entry=entry, outcome=shaped, seconds=0.0)

    async def delivered_together(self, deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
        """Make one call of a `BatchSubscriber`, and return an outcome for each of `deliveries`."""
        self.observer.called(len(deliveries))
        return await self.plugin.delivered_together(deliveries)

    def noted(self, tried: AttemptResult) -> AttemptResult:
        """Notify the observer and the tracing of `tried`, and return it."""
        seconds = tried.seconds if tried.was_sent else None
        self.observer.attempted(tried.entry.event, tried.outcome, seconds, tried.trace_id)
        if self.tracing is not None and tried.delivery is not None:
            self.tracing.attempted(tried.delivery, tried.outcome, tried.seconds)
        return tried

    def ended(self, lane: Lane, outcome: Outcome) -> None:
        """Note in the trace that the delivery of the head of `lane` has ended."""
        if self.tracing is not None:
            self.tracing.ended(lane, outcome, attempts=lane.retries.attempts + 1)

    def receipt(self, lane: Lane, tried: AttemptResult) -> Receipt | None:
        """Return the receipt of the head of `lane`; `None` if it was not delivered or receipts are off."""
        if not self.receipts or not isinstance(tried.outcome, Delivered):
            return None
        event, now = tried.entry.event, self.plugin.clock.now()
        return Receipt(
            event_id=event.id,
            event_type=event.type,
            event_key=event.key,
            subscriber=self.plugin.name,
            attempts=lane.retries.attempts + 1,
            first_tried_at=now if lane.retries.first_tried_at is None else lane.retries.first_tried_at,
            delivered_at=now,
            seconds=tried.seconds,
            answer=kept(tried.outcome.answer),
            failed_attempts=lane.retries.failed_attempts,
        )

    def dead_letter(self, lane: Lane, failure: Retry | Reject, *, reason: str) -> DeadLetter:
        """Return the dead letter of the head of `lane`, whose last attempt ended with `failure`."""
        entry, now = lane.head, self.plugin.clock.now()
        event = entry.event
        letter = DeadLetter(
            id=self.upstream.letter_id(event, self.plugin.name),
            stage=Stage.DISPATCH,
            channel=event.channel,
            reason=reason,
            error=failure.reason,
            hint=(failure.hint if isinstance(failure, Reject) else "") or _HINT,
            failed_at=now,
            first_failed_at=lane.retries.first_failed_at or now,
            replay_id=event.replay_id,
            event=event,
            subscriber=self.plugin.name,
            attempts=lane.retries.attempts,
            first_error=lane.retries.first_error or failure.reason,
            answer=failure.answer,
            partition=entry.partition,
            offset=entry.offset,
            failed_attempts=_without_last_answer(lane.retries.failed_attempts),
        )
        traced = {}
        if self.tracing is not None:
            self.tracing.ended(lane, failure, attempts=lane.retries.attempts, error=reason)
            traced = self.tracing.log_fields(event)
        _log.warning(
            "event.set_aside",
            subscriber=self.plugin.name,
            event_id=event.id,
            reason=reason,
            error=failure.reason,
            **traced,
        )
        self.observer.set_aside(letter)
        return letter

    def _skip(self, event: Event) -> Skip | None:
        """Return why `event` is not for this target; `None` if it is, or can be. Raises `BrokenRoute`."""
        reason = exclusion(event, self.route, self.upstream)
        return Skip(reason=reason, sent=False) if reason else None

    def _shaped(self, event: Event, attempt: int, names: JsonObject | None) -> Delivery | Skip:
        """Return the delivery of `event`; `names` has the results of its look-ups. Raises `BrokenRoute`."""
        more = receipts_of(event) if event.receipts else _NOTHING_MORE
        if names is not None:
            more = {**more, **names}
        if self.route.when_needs_lookups and not self.route.admits(event, more):
            return Skip(reason=EXCLUDED, sent=False)
        delivery = self.route.delivery(event, attempt=attempt, more=more)
        if self.upstream.names:
            delivery = self.upstream.told(delivery, more)
        return delivery if self.tracing is None else self.tracing.marked(delivery)


def _without_last_answer(attempts: tuple[FailedAttempt, ...]) -> tuple[FailedAttempt, ...]:
    """Return `attempts` for a dead letter, which itself has the answer of the last attempt."""
    return (*attempts[:-1], *(replace(each, answer="") for each in attempts[-1:]))


def _broken(error: BrokenRoute) -> Reject:
    return Reject(
        reason=masked(str(error)),
        hint=(
            "Fix `when`, `body`, `content` or `text` in the subscriber's configuration, then redrive the "
            "dead letter."
        ),
        sent=False,
        failure=FailureClass.BROKEN_ROUTE,
    )


def _refused(error: RecordsRefused) -> Reject:
    what = f"the field {error.field}" if error.field else "the record"
    return Reject(
        reason=masked(f"{what} can't be looked up: {error}"),
        hint=(
            "Correct `enrich` in the subscriber's configuration, or let the user of org.auth read "
            "the record. Then redrive the dead letter."
        ),
        sent=False,
        failure=FailureClass.LOOKUP,
    )


def _waiting(error: RetryLater | Stop) -> Retry | Hold:
    """Return the outcome of an attempt whose look-up failed with `error`."""
    reason = masked(f"a look-up failed: {error}")
    if isinstance(error, Stop):
        return Hold(reason=reason, after_s=_STOPPED_S, alert=True, failure=FailureClass.LOOKUP)
    return Retry(reason=reason, after_s=error.after_s, failure=FailureClass.LOOKUP)
