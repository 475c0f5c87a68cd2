"""Steps of a channel's readings; their answers can come late."""

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
"""Longest time that the stream waits for a step."""


@dataclass(slots=True, kw_only=True)
class _Asked:
    reading: str
    progress: ReadingProgress
    answer: "asyncio.Task[Step]"
    told: ChangedRecords = field(default_factory=lambda: ChangedRecords(job=""))
    is_late: bool = False


@dataclass(slots=True, kw_only=True)
class LateSteps:
    """Makes the steps of `reader`, one at a time, and also uses late answers.

    Repeating a slow request brings no answer sooner. So a request is never
    cancelled, which could also lose a token that it renews. The stream continues
    meanwhile. Its changes can be newer than the answer, so the changed records are
    read once more before the answer is used. `on_answer` is called when a late
    answer has come.
    """

    reader: EntityReader
    clock: Clock
    on_answer: Callable[[], None]
    _asked: _Asked | None = field(default=None, init=False)
    _has_missed: bool = field(default=False, init=False)

    @property
    def is_late(self) -> bool:
        """True while a request has no answer."""
        return self._asked is not None and not self._asked.answer.done()

    @property
    def reading(self) -> str | None:
        """Id of the reading whose answer has come late, for the next call."""
        return self._asked.reading if self._asked is not None else None

    def taken(self, events: Sequence[Event]) -> None:
        """Note changes that enter the log."""
        self.reader.taken(events)
        if self._asked is not None:
            self._asked.told.add(event.data["record_id"] for event in events if "record_id" in event.data)

    def miss_changes(self) -> None:
        """Note that `taken` was not called for a while, so that no answer to earlier requests is used."""
        self._has_missed = True

    def forget_missed(self) -> None:
        """Forget earlier requests before a step, if changes were missed since."""
        if not self._has_missed:
            return
        self._has_missed = False
        self.reader.forget_changes()
        if self._asked is not None:
            self._asked.reading = ""

    async def step(self, reading: str, progress: ReadingProgress, position: ReplayId) -> Step:
        """Return the next step of a reading.

        Raises `TimeoutError` if no answer has come in time. Once `is_late` is
        false, a later call for the same step uses the answer. Raises what
        `EntityReader` raises.
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
        """Make a request of another kind; it continues after a `TimeoutError`."""
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
    # asyncio reports an error that nothing has looked at.
    if not late.cancelled():
        late.exception()
