"""Steps of a channel's readings, whose answers can be late."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from streamer.clock import Clock
from streamer.continuity.entity_reader import EntityReader
from streamer.continuity.progress import ReadingProgress
from streamer.continuity.steps import ChangedRecords, Step
from streamer.events import Event, ReplayId

LONGEST_S = 20.0
"""Longest time in seconds that the stream waits for a step."""


@dataclass(slots=True, kw_only=True)
class _Asked:
    reading: str
    progress: ReadingProgress
    answer: "asyncio.Task[Step]"
    told: ChangedRecords = field(default_factory=lambda: ChangedRecords(job=""))
    is_late: bool = False


@dataclass(slots=True, kw_only=True)
class LateSteps:
    """Makes the steps of `reader` one at a time, and uses late answers.

    A late request is not repeated, because Salesforce does not answer a repeated
    request sooner. A late request is also not cancelled, because a cancelled
    request can lose a token that it is renewing. So the stream continues before the
    answer arrives. The stream's changes can be newer than a late answer, so the
    changed records are read again before the answer is used. `on_answer` is called
    when a late answer arrives.
    """

    reader: EntityReader
    clock: Clock
    on_answer: Callable[[], None]
    _asked: _Asked | None = field(default=None, init=False)
    _has_missed: bool = field(default=False, init=False)

    @property
    def is_late(self) -> bool:
        """True while a request is unanswered."""
        return self._asked is not None and not self._asked.answer.done()

    @property
    def reading(self) -> str | None:
        """Id of the reading whose request is unanswered, or whose answer the next call uses."""
        return self._asked.reading if self._asked is not None else None

    def taken(self, events: Sequence[Event]) -> None:
        """Take note of changes that enter the log."""
        self.reader.taken(events)
        if self._asked is not None:
            self._asked.told.add(event.data["record_id"] for event in events if "record_id" in event.data)

    def miss_changes(self) -> None:
        """Record that `taken` was not called for a while, so that earlier answers are not used."""
        self._has_missed = True

    def forget_missed(self) -> None:
        """Forget earlier requests if changes were missed; called before each step."""
        if not self._has_missed:
            return
        self._has_missed = False
        self.reader.forget_changes()
        if self._asked is not None:
            self._asked.reading = ""

    async def step(self, reading: str, progress: ReadingProgress, position: ReplayId) -> Step:
        """Return the next step of a reading.

        Raises `TimeoutError` if no answer arrives in time. Once `is_late` is false,
        a new call for the same step uses the answer. Raises the errors of
        `EntityReader`.
        """
        asked = self._asked
        if asked is None or (asked.reading, asked.progress) != (reading, progress):
            asked = self._ask(reading, progress, self.reader.step(reading, progress, position))
        async with self.clock.timeout(LONGEST_S):
            while True:
                step = await self._answer(asked)
                stale = [each.key for each in step.events if each.key in asked.told]
                if not stale:
                    break
                again = self.reader.read_again(step, stale, reading, progress, position)
                asked = self._ask(reading, progress, again)
        self._asked = None
        return replace(step, events=[replace(each, replay_id=position) for each in step.events])

    async def brief(self, request: Coroutine[Any, Any, None]) -> None:
        """Make another request. After a `TimeoutError`, the request continues in the background."""
        task = asyncio.create_task(request, name=f"reading {self.reader.channel}")
        task.add_done_callback(_retrieved)
        async with self.clock.timeout(LONGEST_S):
            await asyncio.shield(task)

    def _ask(self, reading: str, progress: ReadingProgress, request: Coroutine[Any, Any, Step]) -> _Asked:
        task = asyncio.create_task(request, name=f"reading {self.reader.channel}")
        self._asked = asked = _Asked(reading=reading, progress=progress, answer=task)
        task.add_done_callback(self._answered)
        return asked

    async def _answer(self, asked: _Asked) -> Step:
        try:
            return await asyncio.shield(asked.answer)
        except Exception:
            self._asked = None
            raise
        except asyncio.CancelledError:
            asked.is_late = True
            raise

    def _answered(self, answer: "asyncio.Task[Step]") -> None:
        _retrieved(answer)
        asked = self._asked
        if asked is not None and asked.answer is answer and asked.is_late:
            self.on_answer()


def _retrieved(late: "asyncio.Task[Any]") -> None:
    # Reading the exception stops asyncio from reporting it.
    if not late.cancelled():
        late.exception()
