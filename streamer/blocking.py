"""Blocking plugins: subscribers with a plain function `deliver`, which runs on threads."""

from __future__ import annotations

import inspect
import itertools
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import Context, ContextVar
from dataclasses import dataclass
from queue import SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from streamer.errors import ConfigurationError
from streamer.events import FailureClass, Retry
from streamer.later import Later, LaterLogger
from streamer.ports import BATCH_WAIT_S, Examinable, Previewing

if TYPE_CHECKING:
    from streamer.events import Delivery, EventId, Outcome, SubscriberName
    from streamer.ports import BlockingSubscriber, Preview, Subscriber, TargetReport

if TYPE_CHECKING:
    import asyncio
else:
    asyncio = Later("asyncio")

_log = LaterLogger()

_SHOWN_CALLS = 5


SUBSCRIBER: ContextVar[str] = ContextVar("subscriber", default="")
"""Name of the subscriber for which the running code delivers.

Tasks that the plugin starts inherit this value.
"""


@contextmanager
def calling(name: SubscriberName) -> Iterator[None]:
    """Mark the code inside the context, and the tasks that it starts, as code of the subscriber `name`."""
    token = SUBSCRIBER.set(name)
    try:
        yield
    finally:
        SUBSCRIBER.reset(token)


def subscriber_of(thread: int) -> str:
    """Return the subscriber whose code the event loop of `thread` is running, or an empty text."""
    run_of_a_callback = asyncio.Handle._run.__code__  # noqa: SLF001 - compared, not called
    frame = sys._current_frames().get(thread)  # noqa: SLF001 - its documented name
    while frame is not None and frame.f_code is not run_of_a_callback:
        frame = frame.f_back
    if frame is None:
        return ""
    # Since Python 3.12, a task gives its context; only the loop's callbacks give it in every version.
    context: Context = frame.f_locals["self"]._context  # noqa: SLF001 - see above
    return context.get(SUBSCRIBER, "")


def calls_of(thread: int) -> Sequence[traceback.FrameSummary]:
    """Return the call stack of a thread, innermost last; empty if the thread has ended."""
    frame = sys._current_frames().get(thread)  # noqa: SLF001 - its documented name
    return [] if frame is None else traceback.extract_stack(frame)


def told(calls: Iterable[traceback.FrameSummary]) -> list[str]:
    """Return `calls` as texts with file, line and function."""
    return [f"{each.filename}:{each.lineno} in {each.name}" for each in calls]


def on_threads(
    subscriber: Subscriber | BlockingSubscriber, *, name: SubscriberName, threads: int
) -> Subscriber:
    """Return `subscriber` itself if its `deliver` is asynchronous; otherwise run its calls on threads.

    Raises `ConfigurationError` if only some of the subscriber's methods block.
    """
    is_asynchronous = inspect.iscoroutinefunction(subscriber.deliver)
    many = getattr(subscriber, "deliver_many", None)
    if many is not None and inspect.iscoroutinefunction(many) != is_asynchronous:
        raise ConfigurationError(
            "the plugin's deliver and deliver_many must be both asynchronous or both blocking"
        )
    if is_asynchronous:
        return subscriber  # type: ignore[return-value] # its `deliver` makes it a `Subscriber`
    threaded = ThreadedSubscriber if many is None else ThreadedBatchSubscriber
    return threaded(subscriber, name=name, threads=threads)


class ThreadedSubscriber:
    """Makes the calls of a blocking plugin on its own threads, at most `threads`.

    A call that exceeds its time-out can't be ended. So such a call keeps its thread,
    and the next delivery of the same record waits for the end of the call. Otherwise, a
    target could receive two events of one record at once. If the next delivery is for
    the same event, this delivery gets the outcome of the late call.
    """

    def __init__(
        self, subscriber: Subscriber | BlockingSubscriber, *, name: SubscriberName, threads: int
    ) -> None:
        self._subscriber: Any = subscriber
        self._name = name
        self._pool = _Pool(f"plugin {name}", threads)
        self._late: dict[str, tuple[Delivery, _Call]] = {}

    async def __aenter__(self) -> Self:
        """Enter the plugin if it is a context manager of either kind."""
        if hasattr(self._subscriber, "__aenter__"):
            await self._subscriber.__aenter__()
        elif hasattr(self._subscriber, "__enter__"):
            await self._pool.begin(self._subscriber.__enter__).result()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the plugin; a thread whose call never ends remains."""
        try:
            if hasattr(self._subscriber, "__aexit__"):
                await self._subscriber.__aexit__(exc_type, exc, traceback)
            elif hasattr(self._subscriber, "__exit__"):
                await self._pool.begin(self._subscriber.__exit__, exc_type, exc, traceback).result()
        finally:
            self._pool.close()

    async def deliver(self, delivery: Delivery, /) -> Outcome:
        """Return the outcome of the plugin's own `deliver`."""
        key = delivery.event.key
        if late := self._late.get(key):
            former, call = late
            await asyncio.wait([call.ended])
            del self._late[key]
            if former.event.id == delivery.event.id:
                return _outcome(await call.result())
        call = self._pool.begin(self._subscriber.deliver, delivery)
        try:
            return _outcome(await call.result())
        except asyncio.CancelledError:
            if call.abandon():
                self._late[key] = delivery, call
                _log.warning(
                    "plugin.overdue", subscriber=self._name, event_id=delivery.event.id, at=call.where()
                )
            raise

    def preview(self, delivery: Delivery, /) -> Preview | Outcome | None:
        """Return the plugin's own preview, or `None` if it has none."""
        own = self._subscriber
        return own.preview(delivery) if isinstance(own, Previewing) else None

    async def examine_target(self) -> TargetReport | None:
        """Return the plugin's report on its target, or `None` if it makes no reports."""
        own = self._subscriber
        if not isinstance(own, Examinable):
            return None
        report: TargetReport = await self._pool.begin(own.examine_target).result()
        return report


class ThreadedBatchSubscriber(ThreadedSubscriber):
    """Makes the calls of a blocking plugin that accepts several events in one call.

    While a call that exceeded its time-out continues, further events of the call's keys
    are left out of other calls and count as failed. After the late call has ended, its
    outcome for an event is returned when this event is delivered next.
    """

    def __init__(
        self, subscriber: Subscriber | BlockingSubscriber, *, name: SubscriberName, threads: int
    ) -> None:
        super().__init__(subscriber, name=name, threads=threads)
        self._late_members: dict[str, dict[EventId, _LateMember]] = {}

    @property
    def batch_size(self) -> Any:
        """The plugin's own batch size; the caller checks it."""
        return self._subscriber.batch_size

    @property
    def batch_wait_s(self) -> Any:
        """The plugin's own waiting time in seconds; the caller checks it."""
        return getattr(self._subscriber, "batch_wait_s", BATCH_WAIT_S)

    async def deliver_many(self, deliveries: Sequence[Delivery], /) -> Sequence[Outcome]:
        """Return an outcome for each delivery: from a new call of the plugin, or from an ended late call."""
        known = [self._known(delivery) for delivery in deliveries]
        # If a late call ends during this call, only the next call returns its outcomes.
        ended = [member for delivery in deliveries for member in self._ended(delivery)]
        fresh = tuple(delivery for delivery, outcome in zip(deliveries, known, strict=True) if not outcome)
        made = await self._made(fresh) if fresh else ()
        if len(fresh) < len(deliveries) and len(made) != len(fresh):
            raise ValueError(f"the plugin returned {len(made)} outcomes for {len(fresh)} deliveries")
        self._forget(ended)
        if len(fresh) == len(deliveries):
            return made
        rest = iter(made)
        return [outcome or next(rest) for outcome in known]

    async def _made(self, deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
        call = self._pool.begin(self._subscriber.deliver_many, deliveries)
        try:
            outcomes: Sequence[Outcome] = await call.result()
        except asyncio.CancelledError:
            if call.abandon():
                for place, delivery in enumerate(deliveries):
                    members = self._late_members.setdefault(delivery.event.key, {})
                    members[delivery.event.id] = _LateMember(call, delivery, place)
                first = deliveries[0].event.id
                _log.warning("plugin.overdue", subscriber=self._name, event_id=first, at=call.where())
            raise
        return outcomes

    def _known(self, delivery: Delivery) -> Outcome | None:
        members = self._late_members.get(delivery.event.key, {})
        own = members.get(delivery.event.id)
        if own is not None and own.has_ended:
            return own.outcome
        if all(member.has_ended for member in members.values()):
            return None
        reason = "an earlier call of the plugin, with an event that has the same key, is still running"
        return Retry(reason=reason, failure=FailureClass.TIMEOUT)

    def _ended(self, delivery: Delivery) -> list[_LateMember]:
        """Return the members of ended calls whose outcomes no delivery after `delivery` will need."""
        members = self._late_members.get(delivery.event.key, {})
        own = members.get(delivery.event.id)
        # Another event of a key arrives only after the earlier ones are settled, unless `order` is `none`.
        awaited = members.values() if own is None else (own,)
        return [member for member in awaited if member.has_ended]

    def _forget(self, ended: Iterable[_LateMember]) -> None:
        for member in ended:
            event = member.delivery.event
            members = self._late_members.get(event.key, {})
            if members.get(event.id) is member:
                del members[event.id]
            if not members:
                self._late_members.pop(event.key, None)


class _LateMember(NamedTuple):
    """A delivery and its `place` in a `call` that exceeded its time-out."""

    call: _Call
    delivery: Delivery
    place: int

    @property
    def has_ended(self) -> bool:
        """True once the call has ended."""
        return self.call.ended.done()

    @property
    def outcome(self) -> Outcome:
        """Outcome of the delivery, after the call has ended."""
        error = self.call.ended.exception()
        if error is not None:
            reason = f"the plugin raised {type(error).__name__}"
            return Retry(reason=reason, failure=FailureClass.PLUGIN_ERROR)
        try:
            return _outcome(self.call.ended.result()[self.place])
        except (LookupError, TypeError):
            reason = "the plugin returned fewer outcomes than deliveries"
            return Retry(reason=reason, failure=FailureClass.PLUGIN_ERROR)


def _outcome(returned: Any) -> Outcome:
    # The caller checks this value, like everything that a plugin returns.
    outcome: Outcome = returned
    return outcome


@dataclass(slots=True, eq=False, kw_only=True)
class _Call:
    """One call. `thread` is set when a thread begins the call; `ended` is set on the event loop."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    loop: asyncio.AbstractEventLoop
    ended: asyncio.Future[Any]
    thread: int | None = None
    is_abandoned: bool = False

    def abandon(self) -> bool:
        """Return whether a thread is making the call. If no thread is making the call, it is never made."""
        self.is_abandoned = True
        return self.thread is not None and not self.ended.done()

    async def result(self) -> Any:
        """Wait for the result, or raise the call's error; cancelling the wait does not end the call."""
        result = await asyncio.shield(self.ended)
        # A plain function can return an awaitable.
        return await result if inspect.isawaitable(result) else result

    def where(self) -> list[str]:
        """Return the innermost calls of the thread, without values of variables."""
        return told(calls_of(self.thread or 0)[-_SHOWN_CALLS:])

    def make(self) -> None:
        """Make the call on the current thread."""
        self.thread = threading.get_ident()
        result: object = None
        error: BaseException | None = None
        try:
            if not self.is_abandoned:
                result = self.function(*self.arguments)
        except BaseException as exc:  # noqa: BLE001 - the caller that awaits the result gets it
            error = exc
        # After the daemon has ended, its loop accepts no calls.
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._end, result, error)

    def _end(self, result: object, error: BaseException | None) -> None:
        if self.ended.done():
            return
        if error is None:
            self.ended.set_result(result)
            return
        # A future does not accept StopIteration, and an error must not end the whole process.
        if isinstance(error, StopIteration):
            error = RuntimeError(f"StopIteration: {error}")
        self.ended.set_exception(error)
        # Possibly nobody awaits the call any more, so read the exception here.
        self.ended.exception()


class _Pool:
    """Threads that wait for the next call. They do not keep the process alive."""

    def __init__(self, name: str, limit: int) -> None:
        self._name = name
        self._limit = limit
        self._waiting: SimpleQueue[_Call | None] = SimpleQueue()
        self._numbers = itertools.count(1)
        self._threads = 0
        self._busy: set[_Call] = set()

    def begin(self, function: Callable[..., Any], *arguments: Any) -> _Call:
        """Begin a call when a thread is free."""
        loop = asyncio.get_running_loop()
        call = _Call(function=function, arguments=arguments, loop=loop, ended=loop.create_future())
        self._busy.add(call)
        call.ended.add_done_callback(lambda _: self._busy.discard(call))
        if len(self._busy) > self._threads and self._threads < self._limit:
            self._threads += 1
            name = f"{self._name} {next(self._numbers)}"
            threading.Thread(target=self._serve, name=name, daemon=True).start()
        self._waiting.put(call)
        return call

    def close(self) -> None:
        """End each thread after its current call."""
        for _ in range(self._threads):
            self._waiting.put(None)
        self._threads = 0

    def _serve(self) -> None:
        while (call := self._waiting.get()) is not None:
            call.make()
            del call
