"""Expressions by which a client chooses events, as subscribers do by `when`."""

import asyncio
import threading
from collections.abc import Callable, Sequence

from streamer.admin.errors import ApiError
from streamer.clock import Clock
from streamer.configuration.event_types import data_names
from streamer.dispatch.delivery.route import Keys, RouteSource, compile_route, evaluated, event_document
from streamer.errors import BrokenRoute, ConfigurationError
from streamer.events import Event, SubscriberName
from streamer.expressions.functions import Functions
from streamer.settings import Settings

Admits = Callable[[Event], bool]
"""Test whether a client wants an event; it can raise `BrokenRoute`."""

DEADLINE_S = 2.0
"""Most seconds in which an expression is asked on the events of one request, or of one page of the tail."""

_SLICE_S = 0.01
_WHERE = SubscriberName("where")


class Where:
    """Asks an expression on threads, for as long as its client waits for the answer.

    An evaluation has a budget, so that none goes on for long. The event loop
    shares the interpreter with a thread. So after each slice of time, `Where`
    waits as long as it worked.
    """

    def __init__(self, admits: Admits, clock: Clock) -> None:
        self._admits = admits
        self._clock = clock

    async def ask(self, events: Sequence[Event], *, enough: int | None = None) -> list[bool | BrokenRoute]:
        """Return the answer for each event, or the error with which the expression fails on it.

        There are fewer answers than events if the deadline passes, or `enough`
        events are admitted.
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
            # Nothing else ends a thread.
            is_over.set()
        return answers

    def _ask(
        self, events: Sequence[Event], enough: int | None, is_over: threading.Event
    ) -> list[bool | BrokenRoute]:
        """Return the answers for the first of `events`, as many as a slice of time allows."""
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
    """Return the test that `expression` is, with the lookup tables of `settings`.

    It knows no keys of hashes: with answers to expressions of one's own, a key
    could be used without being known. Raises `ApiError` 400 for a mistake.
    """
    try:
        route = compile_route(
            _WHERE,
            RouteSource(when=expression, data_names=data_names()),
            mistake=_mistake,
            functions=Functions(settings.tables),
        )
    except ConfigurationError as error:
        raise ApiError(400, f"where: {error}.") from error
    except RecursionError as error:
        raise ApiError(400, "where: is nested too deeply.") from error
    when = route.when or bool
    return lambda event: bool(evaluated("where", when, event_document(event)))


def _mistake(_keys: Keys, sentence: str, detail: str) -> ConfigurationError:
    return ConfigurationError(f"{sentence}: {detail}")
