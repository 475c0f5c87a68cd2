"""One delivery attempt, isolated from the errors of the plugin."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Protocol, cast

import structlog

from streamer.clock import Clock
from streamer.dispatch.attempt.plugin_results import kept, masked, named, outcome_of, outcomes_of
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
    Outcome,
    Receipt,
    Reject,
    Retry,
    Skip,
    Stage,
    SubscriberName,
)
from streamer.ports import BatchSubscriber, Subscriber

_log = structlog.get_logger()

# A plugin is foreign code: whatever it raises is an outcome of its attempt.
_OF_PLUGINS = (Exception, SystemExit, KeyboardInterrupt, BaseExceptionGroup)

_HINT = "Look at the error and the target's answer, mend the cause, then redrive."


class DispatchObserver(Protocol):
    """Receives the events of one subscriber for metrics; must not block or raise."""

    def attempted(self, event: Event, outcome: Outcome, seconds: float) -> None:
        """One attempt took `seconds`."""
        ...

    def called(self, events: int) -> None:
        """The plugin was called with a batch of `events`."""
        ...

    def set_aside(self, letter: DeadLetter) -> None:
        """An event became a dead letter."""
        ...


class Tried(NamedTuple):
    """Outcome of one attempt at `entry`, its duration, and its share of the plugin's call."""

    entry: Entry
    outcome: Outcome
    seconds: float
    share: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """Tries deliveries at one target; errors of the target or the plugin become outcomes.

    With `receipts`, each delivery leaves a receipt.
    """

    name: SubscriberName
    subscriber: Subscriber
    route: Route
    timeout_s: float
    clock: Clock
    observer: DispatchObserver
    receipts: bool = False
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

    def skips(self, event: Event) -> bool:
        """Return true, and log it, when `when` excludes `event` from this target."""
        try:
            if self.route.admits(event):
                return False
        except BrokenRoute:
            # The event stays queued, and its attempt sets it aside.
            return False
        self.observer.attempted(event, Skip(reason="when does not hold", sent=False), 0.0)
        return True

    async def try_once(self, lane: Lane) -> Tried:
        """Deliver the head of `lane` and return the outcome."""
        entry, shaped = lane.head, await self.shaped(lane)
        if isinstance(shaped, Tried):
            return self.noted(shaped)
        began = self.clock.monotonic()
        outcome = await self._delivered(shaped)
        return self.noted(Tried(entry=entry, outcome=outcome, seconds=self.clock.monotonic() - began))

    async def shaped(self, lane: Lane) -> Delivery | Tried:
        """Return the delivery of the head of `lane`, or what becomes of it without one."""
        if lane.first_tried_at is None:
            lane.first_tried_at = self.clock.now()
        shaped = self._shaped(lane.head.event, lane.attempts + 1)
        return shaped if isinstance(shaped, Delivery) else Tried(entry=lane.head, outcome=shaped, seconds=0.0)

    async def delivered_together(self, deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
        """Make one call of a `BatchSubscriber`, and return an outcome for each of `deliveries`."""
        subscriber = cast("BatchSubscriber", self.subscriber)
        self.observer.called(len(deliveries))
        call = self._returned(partial(subscriber.deliver_many, deliveries), deliveries[0].event)
        return outcomes_of(await call, len(deliveries))

    def noted(self, tried: Tried) -> Tried:
        """Return `tried`, after the observer has heard of it."""
        self.observer.attempted(tried.entry.event, tried.outcome, tried.seconds)
        return tried

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

    def _shaped(self, event: Event, attempt: int) -> Delivery | Skip | Reject:
        try:
            if not self.route.admits(event):
                return Skip(reason="when does not hold", sent=False)
            return self.route.delivery(event, attempt=attempt)
        except BrokenRoute as error:
            return Reject(
                reason=masked(str(error)),
                hint="Mend the subscriber's when, body or text, then redrive.",
                sent=False,
                failure=FailureClass.BROKEN_ROUTE,
            )

    async def _delivered(self, delivery: Delivery) -> Outcome:
        return outcome_of(await self._returned(partial(self.subscriber.deliver, delivery), delivery.event))

    async def _returned(self, call: Callable[[], Awaitable[object]], event: Event) -> object:
        """Return what the plugin's `call` returns, or a `Retry`; `event` is the first of it."""
        before = cancellations()
        try:
            async with self.clock.timeout(self.timeout_s):
                return await call()
        except TimeoutError:
            return Retry(reason=f"no answer within {self.timeout_s:g} s", failure=FailureClass.TIMEOUT)
        except asyncio.CancelledError:
            if self.ending.is_set():
                raise
            undo_cancellations(before)
            _log.warning("plugin.cancelled_itself", subscriber=self.name, event_id=event.id)
            return Retry(reason="the plugin cancelled its own attempt", failure=FailureClass.PLUGIN_ERROR)
        except _OF_PLUGINS as error:  # its events are retried, then set aside
            _log.warning("plugin.raised", subscriber=self.name, event_id=event.id, exc_info=True)
            return Retry(reason=f"the plugin raised {named(error)}", failure=FailureClass.PLUGIN_ERROR)


def cancellations() -> int:
    """Return how often the present task was asked to end."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def undo_cancellations(before: int) -> None:
    """Let the present task go on, after a cancellation that was the plugin's own."""
    task = asyncio.current_task()
    while task is not None and task.cancelling() > before:
        task.uncancel()
