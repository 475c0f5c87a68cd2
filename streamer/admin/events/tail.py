"""Live tail: reads new events of the log once, and filters them for a few clients."""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress

import structlog

from streamer.admin.json_views import event_json, place_json, rfc3339
from streamer.admin.schemas import ApiError
from streamer.clock import Clock
from streamer.configuration.event_types import data_names
from streamer.dispatch.delivery.route import Keys, RouteSource, compile_route, evaluated, event_document
from streamer.errors import BrokenRoute, ConfigurationError, StreamerError
from streamer.events import Event, JsonObject, SubscriberName
from streamer.exact_json import exact_json
from streamer.expressions.functions import Functions
from streamer.ports import AppendedPage, EventHistory, LoggedEvent
from streamer.settings import Settings

Admits = Callable[[Event], bool]
"""Tests whether a client wants an event; can raise `BrokenRoute`."""

DEADLINE_S = 2.0
"""Time limit in seconds for evaluating an expression during one request, or for one page of the tail."""

_SLICE_S = 0.01
_WHERE = SubscriberName("where")


class Where:
    """Evaluates an expression on worker threads while the client waits for the answers.

    Each evaluation has a limited budget of steps. The worker thread and the event loop
    share one interpreter. So after each slice of work, `Where` waits for as long as the
    slice took, and the event loop can run.
    """

    def __init__(self, admits: Admits, clock: Clock) -> None:
        self._admits = admits
        self._clock = clock

    async def ask(self, events: Sequence[Event], *, enough: int | None = None) -> list[bool | BrokenRoute]:
        """Return for each event whether the expression is true, or the expression's error.

        The evaluation ends early, with fewer answers than events, if the deadline
        passes or `enough` events are admitted.
        """
        answers: list[bool | BrokenRoute] = []
        is_over = threading.Event()
        used_s = 0.0
        try:
            while len(answers) < len(events) and used_s < DEADLINE_S:
                begun_at = self._clock.monotonic()
                missing = None if enough is None else enough - answers.count(True)
                answers += await asyncio.to_thread(self._ask, events[len(answers) :], missing, is_over)
                if enough is not None and answers.count(True) >= enough:
                    break
                slice_s = self._clock.monotonic() - begun_at
                used_s += slice_s
                if slice_s >= _SLICE_S:
                    await self._clock.sleep(slice_s)
        finally:
            # Only this flag ends the worker thread.
            is_over.set()
        return answers

    def _ask(
        self, events: Sequence[Event], enough: int | None, is_over: threading.Event
    ) -> list[bool | BrokenRoute]:
        """Return answers for as many of the first `events` as a slice of time allows."""
        answers: list[bool | BrokenRoute] = []
        begun_at = self._clock.monotonic()
        for event in events:
            try:
                answers.append(self._admits(event))
            except BrokenRoute as error:
                answers.append(error)
            if is_over.is_set() or self._clock.monotonic() - begun_at >= _SLICE_S:
                break
            if enough is not None and answers.count(True) >= enough:
                break
        return answers


def compiled_where(expression: str, settings: Settings) -> Admits:
    """Compile `expression` into a test of events, with the lookup tables of `settings`.

    The test has no access to hash keys. Otherwise a client could use a secret key
    through expressions without knowing the key. Raises `ApiError` 400 for a
    mistake.
    """
    try:
        route = compile_route(
            _WHERE,
            RouteSource(when=expression, data_names=data_names()),
            mistake=_where_mistake,
            functions=Functions(settings.tables),
        )
    except ConfigurationError as error:
        raise ApiError(400, f"where: {error}.") from error
    except RecursionError as error:
        raise ApiError(400, "where: is nested too deeply: simplify the expression.") from error
    when = route.when or bool
    return lambda event: bool(evaluated("where", when, event_document(event)))


def _where_mistake(_keys: Keys, sentence: str, detail: str) -> ConfigurationError:
    return ConfigurationError(f"{sentence}: {detail}")


MOST_CLIENTS = 8
"""Largest number of clients that follow the log of one process at the same time."""

_MOST_LINES = 1_000
_MOST_BYTES = 4 * 1024 * 1024
_ALIVE_S = 5.0
_RETRY_S = 1.0
# A page has at most 500 events, which bounds the tail's cost for a busy daemon.
_PAUSE_S = 0.25

Wants = Callable[[Event], bool]
"""Tests quickly whether a client wants an event; raises no error."""

_log = structlog.get_logger()
_OVERDUE = BrokenRoute(
    f"the time limit of {DEADLINE_S:g} s for where was over before Streamer tested this event: narrow the "
    "tail by type, record or channel, or simplify the expression"
)


class TailClient:
    """Buffer of one client's lines, which drops the oldest events when it is full."""

    def __init__(self, wants: Wants, clock: Clock, where: Where | None = None) -> None:
        self._wants = wants
        self._where = where
        self._clock = clock
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._told: list[JsonObject] = []
        self._dropped = 0
        self._failed = 0
        self._failure = ""
        self._woken = asyncio.Event()
        self._is_closed = False

    async def offer(self, events: Sequence[LoggedEvent]) -> None:
        """Buffer the events that the client wants."""
        wanted = [each for each in events if self._wants(each.event)]
        if self._where is None:
            answers: list[bool | BrokenRoute] = [True] * len(wanted)
        else:
            answers = await self._where.ask([each.event for each in wanted])
        answers += [_OVERDUE] * (len(wanted) - len(answers))
        for logged, answer in zip(wanted, answers, strict=True):
            if isinstance(answer, BrokenRoute):
                self._fail(answer)
            elif answer:
                self._buffer(logged)

    def _fail(self, error: BrokenRoute) -> None:
        self._failed += 1
        self._failure = str(error)
        self._woken.set()

    def _buffer(self, logged: LoggedEvent) -> None:
        line = _json_line({"event": followed_json(logged)})
        self._lines.append(line)
        self._bytes += len(line)
        while len(self._lines) > _MOST_LINES or self._bytes > _MOST_BYTES:
            self._bytes -= len(self._lines.popleft())
            self._dropped += 1
        self._woken.set()

    def tell(self, **said: object) -> None:
        """Buffer a line about the tail; the client gets this line before further events."""
        if len(self._told) < _MOST_LINES:
            self._told.append(said)
        self._woken.set()

    def close(self) -> None:
        """End the lines once the buffer is empty."""
        self._is_closed = True
        self._woken.set()

    async def lines(self) -> AsyncGenerator[bytes, None]:
        """Yield complete lines from the buffer; without events, yield a heartbeat line every few seconds."""
        while True:
            with suppress(TimeoutError):
                async with self._clock.timeout(_ALIVE_S):
                    await self._woken.wait()
            self._woken.clear()
            yield self._taken() or _json_line({"alive": rfc3339(self._clock.now())})
            if self._is_closed and not self._woken.is_set():
                return

    def _taken(self) -> bytes:
        """Take some of the buffered lines. If all lines were taken, a slow client could fill two buffers."""
        said = [_json_line(each) for each in self._told]
        self._told = []
        if self._dropped:
            said.append(_json_line({"dropped": self._dropped}))
            self._dropped = 0
        if self._failed:
            said.append(_json_line({"failed": self._failed, "error": self._failure}))
            self._failed = 0
        taken = 0
        while self._lines and taken < _MOST_BYTES // 16:
            line = self._lines.popleft()
            self._bytes -= len(line)
            taken += len(line)
            said.append(line)
        if self._lines:
            self._woken.set()
        return b"".join(said)


class Tail:
    """Reader of the newest events, which runs while it has clients.

    Ingest and dispatch never wait for the tail. The tail reads at most 2,000 events per
    second, and skips events beyond this rate.
    """

    def __init__(self, history: EventHistory, clock: Clock) -> None:
        self._history = history
        self._clock = clock
        self._clients: list[TailClient] = []
        self._reading: asyncio.Task[None] | None = None
        self._is_following = False
        self._is_closed = False

    @contextmanager
    def client(self, wants: Wants, where: Where | None = None) -> Iterator[TailClient]:
        """Add a client inside the context. Raises `ApiError` 409 if there are too many clients."""
        if len(self._clients) >= MOST_CLIENTS:
            raise ApiError(
                409,
                (
                    f"{MOST_CLIENTS} clients already follow the log of this process, which is the limit: "
                    "close another client first."
                ),
            )
        client = TailClient(wants, self._clock, where)
        self._clients.append(client)
        if self._is_closed:
            client.close()
        elif self._reading is None:
            self._reading = asyncio.create_task(self._run(), name="tail")
        elif self._is_following:
            client.tell(following=rfc3339(self._clock.now()))
        try:
            yield client
        finally:
            self._clients.remove(client)
            if not self._clients:
                self._stop()

    def close(self) -> None:
        """Close all clients, because the log closes."""
        self._is_closed = True
        self._stop()
        for client in self._clients:
            client.close()

    def _stop(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
            self._is_following = False

    async def _run(self) -> None:
        while True:
            try:
                await self._follow()
            except StreamerError as error:
                self._is_following = False
                _log.warning("tail.interrupted", reason=str(error))
                self._tell(
                    trouble=(
                        f"{error}. The tail does not show events that are appended before the log can "
                        "be read again."
                    )
                )
            except Exception:  # noqa: BLE001 - logged with its traceback
                # Clients must not wait for a reader that has ended.
                _log.exception("tail.failed")
                self.close()
                return
            await self._clock.sleep(_RETRY_S)

    async def _follow(self) -> None:
        async with aclosing(self._history.appended()) as pages:
            await anext(pages)
            self._is_following = True
            self._tell(following=rfc3339(self._clock.now()))
            async for page in pages:
                await self._hand_out(page)
                await self._clock.sleep(_PAUSE_S)

    async def _hand_out(self, page: AppendedPage) -> None:
        async with asyncio.TaskGroup() as group:
            for client in list(self._clients):
                if page.skipped:
                    client.tell(skipped=page.skipped)
                group.create_task(client.offer(page.events), name="tail client")

    def _tell(self, **said: object) -> None:
        for client in self._clients:
            client.tell(**said)


def followed_json(logged: LoggedEvent) -> JsonObject:
    """Return all fields of an event, with its position in the log, as the tail sends them."""
    return {**event_json(logged.event), **place_json(logged)}


def _json_line(value: JsonObject) -> bytes:
    return exact_json(value) + b"\n"
