"""One delivery attempt, isolated from the errors of the plugin."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

import structlog

from streamer.clock import Clock
from streamer.dispatch.attempt.forwarding import Forwarding, Upstream, receipts_of, redriven
from streamer.dispatch.attempt.plugin_results import kept, masked, named, outcome_of
from streamer.dispatch.attempt.route import Route
from streamer.dispatch.lanes.lane import Lane
from streamer.errors import BrokenRoute, RetryLater, StreamerError
from streamer.events import (
    DeadLetter,
    Delivered,
    Delivery,
    Entry,
    Event,
    FailureClass,
    Forwarded,
    Outcome,
    Receipt,
    Reject,
    Retry,
    Skip,
    Stage,
    SubscriberName,
)
from streamer.ports import Subscriber

_log = structlog.get_logger()

# A plugin is foreign code: whatever it raises is an outcome of its attempt.
_OF_PLUGINS = (Exception, SystemExit, KeyboardInterrupt, BaseExceptionGroup)

_HINT = "Look at the error and the target's answer, mend the cause, then redrive."


class DispatchObserver(Protocol):
    """Receives the events of one subscriber for metrics; must not block or raise."""

    def attempted(self, event: Event, outcome: Outcome, seconds: float) -> None:
        """One attempt took `seconds`."""
        ...

    def set_aside(self, letter: DeadLetter) -> None:
        """An event became a dead letter."""
        ...


class Tried(NamedTuple):
    """Outcome of one attempt at `entry`, and its duration."""

    entry: Entry
    outcome: Outcome
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """Tries deliveries at one target; errors of the target or the plugin become outcomes.

    With `receipts`, each delivery leaves a receipt. `upstream` are the
    subscribers after which this one comes, and `forwarding` serves those
    downstream, which needs receipts.
    """

    name: SubscriberName
    subscriber: Subscriber
    route: Route
    timeout_s: float
    clock: Clock
    observer: DispatchObserver
    receipts: bool = False
    upstream: Upstream = field(default_factory=Upstream)
    forwarding: Forwarding | None = None
    ending: asyncio.Event = field(default_factory=asyncio.Event)
    """Set before the attempts in flight are cancelled: any other cancellation is the plugin's own."""

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Keep the plugin open inside the context.

        Raises errors that Streamer raises on purpose, such as
        `ConfigurationError`, as they are, and `RetryLater` for any other error
        of the plugin.
        """
        try:
            async with self.clock.timeout(self.timeout_s):
                await self.subscriber.__aenter__()
        except StreamerError:
            raise
        except _OF_PLUGINS as error:
            raise RetryLater(f"subscriber {self.name} can't be opened: {named(error)}") from error
        try:
            yield
        finally:
            await self._close()

    def admits(self, event: Event) -> bool:
        """Return whether `event`, with its receipts, is for this target. Raises `BrokenRoute`."""
        return self._skip(event) is None

    def skips(self, event: Event) -> bool:
        """Return true, and log it, when `event` is not for this target."""
        try:
            skip = self._skip(event)
        except BrokenRoute:
            # The event stays queued, and its attempt sets it aside.
            return False
        if skip is not None:
            self.observer.attempted(event, skip, 0.0)
        return skip is not None

    def redriven(self, event: Event) -> Event:
        """Return `event`, which was a dead letter, as those downstream are to get it."""
        return redriven(event, self.name) if self.forwarding else event

    def forwarded(self, event: Event, proof: Receipt | DeadLetter | None) -> Sequence[Forwarded]:
        """Return the settled `event` for those downstream; without a `proof` it was skipped."""
        return self.forwarding.settled(event, proof, self.clock.now()) if self.forwarding else ()

    async def try_once(self, lane: Lane) -> Tried:
        """Deliver the head of `lane` and return the outcome."""
        entry = lane.head
        if lane.first_tried_at is None:
            lane.first_tried_at = self.clock.now()
        began = self.clock.monotonic()
        outcome = await self._outcome(entry.event, lane.attempts + 1)
        seconds = self.clock.monotonic() - began
        self.observer.attempted(entry.event, outcome, seconds)
        return Tried(entry=entry, outcome=outcome, seconds=seconds)

    def receipt(self, lane: Lane, tried: Tried) -> Receipt | None:
        """Return the receipt of the head of `lane`, or `None` if receipts are off or it was not delivered."""
        if not self.receipts or not isinstance(tried.outcome, Delivered):
            return None
        event, now = tried.entry.event, self.clock.now()
        return Receipt(
            event_id=event.id,
            event_type=event.type,
            event_key=event.key,
            subscriber=self.name,
            attempts=lane.attempts + 1,
            first_tried_at=now if lane.first_tried_at is None else lane.first_tried_at,
            delivered_at=now,
            seconds=tried.seconds,
            answer=kept(tried.outcome.answer),
        )

    def dead_letter(self, lane: Lane, failure: Retry | Reject, *, reason: str) -> DeadLetter:
        """Return the dead letter of the head of `lane`, whose last attempt ended with `failure`."""
        entry, now = lane.head, self.clock.now()
        event = entry.event
        letter = DeadLetter(
            id=f"{event.id}:{self.name}",
            stage=Stage.DISPATCH,
            channel=event.channel,
            reason=reason,
            error=failure.reason,
            hint=(failure.hint if isinstance(failure, Reject) else "") or _HINT,
            failed_at=now,
            first_failed_at=lane.first_failed_at or now,
            replay_id=event.replay_id,
            event=event,
            subscriber=self.name,
            attempts=lane.attempts,
            first_error=lane.first_error or failure.reason,
            answer=failure.answer,
            partition=entry.partition,
            offset=entry.offset,
        )
        _log.warning(
            "event.set_aside", subscriber=self.name, event_id=event.id, reason=reason, error=failure.reason
        )
        self.observer.set_aside(letter)
        return letter

    async def _close(self) -> None:
        try:
            async with self.clock.timeout(self.timeout_s):
                await self.subscriber.__aexit__(None, None, None)
        except _OF_PLUGINS:  # its deliveries are recorded all the same
            _log.warning("plugin.raised", subscriber=self.name, exc_info=True)

    def _skip(self, event: Event) -> Skip | None:
        """Return why `event` is not for this target, `None` if it is. Raises `BrokenRoute`."""
        if self.upstream.names and (exclusion := self.upstream.exclusion(event)):
            return Skip(reason=exclusion, sent=False)
        if self.upstream.joins and self.upstream.missing(event):
            # Its receipts are not there yet.
            return None
        if not self.route.admits(event, receipts_of(event)):
            return Skip(reason="when does not hold", sent=False)
        return None

    async def _outcome(self, event: Event, attempt: int) -> Outcome:
        try:
            if (skip := self._skip(event)) is not None:
                return skip
            delivery = self._delivery(event, attempt)
        except BrokenRoute as error:
            return Reject(
                reason=masked(str(error)),
                hint="Mend the subscriber's when, body, content or text, then redrive.",
                sent=False,
                failure=FailureClass.BROKEN_ROUTE,
            )
        return await self._delivered(delivery)

    def _delivery(self, event: Event, attempt: int) -> Delivery:
        more = receipts_of(event)
        delivery = self.route.delivery(event, attempt=attempt, more=more)
        if not self.upstream.names:
            return delivery
        # Upstream can deliver what it has rejected later, by a redrive, and a target would take that for a
        # repetition.
        key = f"{delivery.key}:rejected" if self.upstream.is_rejected(event) else delivery.key
        return replace(delivery, key=key, receipts=more["receipts"])

    async def _delivered(self, delivery: Delivery) -> Outcome:
        cancellations = _cancellations()
        try:
            async with self.clock.timeout(self.timeout_s):
                returned = await self.subscriber.deliver(delivery)
        except TimeoutError:
            return Retry(reason=f"no answer within {self.timeout_s:g} s", failure=FailureClass.TIMEOUT)
        except asyncio.CancelledError:
            if self.ending.is_set():
                raise
            _undo_cancellations(cancellations)
            _log.warning("plugin.cancelled_itself", subscriber=self.name, event_id=delivery.event.id)
            return Retry(reason="the plugin cancelled its own attempt", failure=FailureClass.PLUGIN_ERROR)
        except _OF_PLUGINS as error:  # its event is retried, then set aside
            _log.warning("plugin.raised", subscriber=self.name, event_id=delivery.event.id, exc_info=True)
            return Retry(reason=f"the plugin raised {named(error)}", failure=FailureClass.PLUGIN_ERROR)
        return outcome_of(returned)


def _cancellations() -> int:
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def _undo_cancellations(before: int) -> None:
    task = asyncio.current_task()
    while task is not None and task.cancelling() > before:
        task.uncancel()
