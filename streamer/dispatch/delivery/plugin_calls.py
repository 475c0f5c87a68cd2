"""Calls of plugins, with protection against what their code returns, raises and starts.

A task that a plugin starts can end neither the event loop nor the daemon. Each
value that a plugin returns or raises is checked before its use. The checks raise no
error, whatever the value's own methods do. Even a library's time-out can be a
`BaseException`.
"""

import asyncio
import math
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterator,
    Sequence,
)
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from traceback import extract_tb
from typing import Any, TypeVar, cast, get_args

import structlog

from streamer.blocking import SUBSCRIBER, calling
from streamer.clock import Clock
from streamer.dispatch.delivery.foreign_values import (
    bounded,
    excerpt,
    exchange_of,
    mapping_of,
    masked,
    named,
    text_of,
    without_secrets,
)
from streamer.errors import RetryLater, StreamerError
from streamer.events import (
    LONGEST_PAUSE_S,
    Delivered,
    Delivery,
    Disable,
    Event,
    FailureClass,
    Hold,
    Outcome,
    Reject,
    Retry,
    Skip,
    SubscriberName,
)
from streamer.known_secrets import KNOWN
from streamer.ports import BatchSubscriber, Subscriber

_log = structlog.get_logger()

Given = TypeVar("Given")

_KINDS = frozenset(get_args(Outcome))


@contextmanager
def exits_contained(exited: Callable[[SubscriberName], None]) -> Iterator[None]:
    """Call `exited` for a `SystemExit` in a plugin's task inside the context; the event loop goes on.

    asyncio lets `SystemExit` pass through the loop, so one plugin's script could end
    all other plugins. The code that awaits such a task gets a `RuntimeError` instead.
    """
    loop = asyncio.get_running_loop()
    former = loop.get_task_factory()

    def task(
        loop: asyncio.AbstractEventLoop,
        coro: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
        /,
        **options: Any,
    ) -> "asyncio.Future[Any]":
        name = SubscriberName(SUBSCRIBER.get())
        if name and asyncio.iscoroutine(coro):
            coro = _contained(coro, name, exited)
        return former(loop, coro, **options) if former else asyncio.Task(coro, loop=loop, **options)

    loop.set_task_factory(task)
    try:
        yield
    finally:
        loop.set_task_factory(former)


async def _contained(
    coro: Coroutine[Any, Any, Any], name: SubscriberName, exited: Callable[[SubscriberName], None]
) -> Any:
    try:
        return await coro
    except SystemExit as error:
        last = extract_tb(error.__traceback__)[-1]
        _log.warning("plugin.exited", subscriber=name, at=f"{last.filename}:{last.lineno} in {last.name}")
        exited(name)
        raise RuntimeError("a task of the plugin raised SystemExit") from error


def outcome_of(returned: object) -> Outcome:
    """Return the outcome that `returned` represents, as an instance of exactly one of the six types.

    In the result, texts are limited in length, and contain no secret that is in use.
    The answer is a text or a dictionary, and a pause is between zero and a day. The
    type of the outcome is used even if the texts of the outcome are malformed, because
    a delivered event must not be delivered again. A value that is not an outcome, or
    whose pause is not a number, becomes a `Retry` with this fault as its reason.
    """
    # This path must be cheap, because nearly every outcome takes it.
    if type(returned) is Delivered and type(answer := _field(returned, "answer")) is dict:
        if not answer:
            return returned
        hidden = without_secrets(answer)
        return returned if hidden is answer else Delivered(answer=hidden)
    kind = next((each for each in type(returned).__mro__ if each in _KINDS), None)
    if kind is None:
        return Retry(
            reason=bounded(f"the plugin returned {type(returned).__name__}, which is not an outcome"),
            failure=FailureClass.PLUGIN_ERROR,
        )
    if kind is Delivered:
        return Delivered(answer=without_secrets(mapping_of(_field(returned, "answer"))))
    if kind is Skip:
        return Skip(reason=_sentence(returned, "reason"), sent=_was_sent(returned))
    return _failure(kind, returned)


def outcomes_of(returned: object, number: int) -> Sequence[Outcome]:
    """Return the outcomes in `returned` for `number` deliveries, each in the form of `outcome_of`.

    A single `Retry` counts for all deliveries. A value without exactly `number`
    outcomes becomes a `Retry` for all, because it is unknown which outcome belongs
    to which delivery.
    """
    if isinstance(returned, Retry):
        return [outcome_of(returned)] * number
    try:
        # Take one value more than wanted, to notice too many values; an iterator can be endless.
        found: list[object] = list(islice(returned, number + 1))  # type: ignore[call-overload] # foreign code
    except BaseException:  # noqa: BLE001 - it is not iterable, or its iterator raises any error
        found = []
    if len(found) == number:
        return [outcome_of(each) for each in found]
    count = f"{len(found)} outcomes" if len(found) < number else "too many outcomes"
    what = f"the plugin returned {count} for {number} deliveries, in a {type(returned).__name__}"
    return [Retry(reason=bounded(what), failure=FailureClass.PLUGIN_ERROR)] * number


def _failure(kind: type[Any], returned: object) -> Outcome:
    reason, answer = _sentence(returned, "reason"), excerpt(text_of(_field(returned, "answer")))
    if kind is Disable:
        return Disable(reason=reason, answer=answer, failure=_class(returned, FailureClass.OTHER))
    exchange = exchange_of(_field(returned, "exchange"))
    if kind is Reject:
        return Reject(
            reason=reason,
            hint=_sentence(returned, "hint"),
            answer=answer,
            sent=_was_sent(returned),
            failure=_class(returned, FailureClass.REJECTED),
            exchange=exchange,
        )
    failure, asked = _class(returned, FailureClass.OTHER), _field(returned, "after_s")
    after_s = None if asked is None else _seconds(asked)
    if after_s is None and not (kind is Retry and asked is None):
        what = f"a {kind.__name__} whose after_s is a {type(asked).__name__} and not a number"
        reason, failure = bounded(f"the plugin returned {what}"), FailureClass.PLUGIN_ERROR
        return Retry(reason=reason, answer=answer, failure=failure, exchange=exchange)
    if kind is Retry or after_s is None:
        return Retry(reason=reason, after_s=after_s, answer=answer, failure=failure, exchange=exchange)
    alert = _field(returned, "alert") is True
    return Hold(
        reason=reason, after_s=after_s, answer=answer, alert=alert, failure=failure, exchange=exchange
    )


def _class(returned: object, usual: FailureClass) -> FailureClass:
    # A plugin's own words could create any number of label values in a metric.
    value = _field(returned, "failure")
    return value if isinstance(value, FailureClass) else usual


def _field(returned: object, name: str) -> object:
    try:
        return getattr(returned, name)
    except BaseException:  # noqa: BLE001 - a subclass can define the field as a property
        return f"the outcome's {name} can't be read"


def _was_sent(returned: object) -> bool:
    return _field(returned, "sent") is not False


def _sentence(returned: object, name: str) -> str:
    value = _field(returned, name)
    if isinstance(value, str):
        return bounded(KNOWN.hidden(str.__str__(value)))
    # The value is, for example, an exception instead of its text.
    return masked(text_of(value))


def _seconds(asked: object) -> float | None:
    """Return the pause that was `asked` for, limited to a day; `None` if `asked` is not a number."""
    if not isinstance(asked, int | float):
        return None
    try:
        seconds = float(asked)
    except BaseException:  # noqa: BLE001 - an integer too large for a float, or a foreign __float__
        return None
    return None if math.isnan(seconds) else min(max(seconds, 0.0), LONGEST_PAUSE_S)


def is_closing(error: BaseException) -> bool:
    """Return whether `error` comes from the closing of a coroutine after its event loop has ended."""
    if not isinstance(error, GeneratorExit):
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return True
    return False


def cancellations() -> int:
    """Return how many cancellations of the current task are pending."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def undo_cancellations(before: int) -> None:
    """Let the current task continue after a cancellation by the plugin."""
    task = asyncio.current_task()
    while task is not None and task.cancelling() > before:
        task.uncancel()


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginCalls:
    """Calls one subscriber's plugin, each time within `timeout_s` seconds; its errors become outcomes.

    Code that calls the plugin must run in the context of the subscriber: see `calling`.
    """

    name: SubscriberName
    subscriber: Subscriber
    timeout_s: float
    clock: Clock
    ending: asyncio.Event = field(default_factory=asyncio.Event)
    """Set before Streamer cancels the attempts in flight; any other cancellation comes from the plugin."""

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Keep the plugin open inside the context.

        Raises a `StreamerError`, such as `ConfigurationError`, unchanged. Raises
        `RetryLater` for any other error of the plugin.
        """
        before = cancellations()
        try:
            async with self.clock.timeout(self.timeout_s):
                with calling(self.name):
                    await self.subscriber.__aenter__()
        except StreamerError:
            raise
        except BaseException as error:
            if self._is_ours(error, before):
                raise
            raise RetryLater(f"subscriber {self.name} can't be opened: {named(error)}") from error
        try:
            yield
        finally:
            await self._close()

    async def delivered(self, delivery: Delivery) -> Outcome:
        """Call the plugin once with `delivery`."""
        return outcome_of(await self._returned(self.subscriber.deliver, delivery, delivery.event))

    async def delivered_together(self, deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
        """Call a `BatchSubscriber` once, and return an outcome for each of `deliveries`."""
        deliver_many = cast("BatchSubscriber", self.subscriber).deliver_many
        call = self._returned(deliver_many, deliveries, deliveries[0].event)
        return outcomes_of(await call, len(deliveries))

    async def _returned(
        self, call: Callable[[Given], Awaitable[object]], given: Given, event: Event
    ) -> object:
        """Return the result of the plugin's `call` with `given`, or a `Retry`; `event` is the first event."""
        before = cancellations()
        try:
            async with self.clock.timeout(self.timeout_s):
                return await call(given)
        except TimeoutError:
            return Retry(
                reason=f"the plugin did not return within {self.timeout_s:g} s", failure=FailureClass.TIMEOUT
            )
        except asyncio.CancelledError:
            if self.ending.is_set():
                raise
            undo_cancellations(before)
            _log.warning("plugin.cancelled_itself", subscriber=self.name, event_id=event.id)
            return Retry(reason="the plugin cancelled its own attempt", failure=FailureClass.PLUGIN_ERROR)
        except BaseException as error:  # the events are retried, and finally become dead letters
            if is_closing(error):
                raise
            _log.warning("plugin.raised", subscriber=self.name, event_id=event.id, exc_info=True)
            return Retry(reason=f"the plugin raised {named(error)}", failure=FailureClass.PLUGIN_ERROR)

    async def _close(self) -> None:
        before = cancellations()
        try:
            async with self.clock.timeout(self.timeout_s):
                with calling(self.name):
                    await self.subscriber.__aexit__(None, None, None)
        except BaseException as error:  # the deliveries of the plugin must still be recorded
            if self._is_ours(error, before):
                raise
            _log.warning("plugin.raised", subscriber=self.name, exc_info=True)

    def _is_ours(self, error: BaseException, cancellations_before: int) -> bool:
        """Return true if Streamer has ended the call, and false if the plugin raised `error`."""
        if isinstance(error, asyncio.CancelledError):
            return self.ending.is_set() or cancellations() > cancellations_before
        return is_closing(error)
