"""A target that accepts only some keys, and checks which attempts it gets."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from streamer.events import Delivered, Delivery, Event, Outcome, Retry, Setback
from tests.unit.dispatch.world import ScriptedTarget


@dataclass(frozen=True, slots=True)
class Era:
    """A time in which no attempt may be forgotten: of one process, one assignment, and no outage."""

    process: int
    assignment: int
    outages: int


class Onlooker(Protocol):
    """Sees what the process that delivers can know."""

    @property
    def era(self) -> Era:
        """Which it is now."""
        ...

    @property
    def now(self) -> float:
        """The time, in epoch seconds."""
        ...

    def parked_heads(self) -> Mapping[str, Setback]:
        """Return what the log says of the heads of parked lanes, by their events."""
        ...


class Moody(ScriptedTarget):
    """Answers each key as its mood is at the moment, and knows which number each attempt may have.

    Failures never exceed the attempts spent on an event, nor fall below the known
    ones of this era.
    """

    def __init__(self, onlooker: Onlooker) -> None:
        """Accept everything."""
        super().__init__(any_order=True)
        self.moods: dict[str, Outcome] = {}
        self.every = 1
        self.tried: Counter[str] = Counter()
        self.miscounted: list[Delivery] = []
        self.early: list[Delivery] = []
        self._onlooker = onlooker
        self._era: Era | None = None
        self._known: dict[str, int] = {}
        self._parked: Mapping[str, Setback] = {}
        self._failed: Counter[str] = Counter()
        self._in_flight: set[tuple[int, int, str]] = set()

    async def deliver(self, delivery: Delivery, /) -> Outcome:
        """Answer, and note an attempt that comes too early, or after one was forgotten or wrongly counted."""
        event, era = delivery.event.id, self._enter_era()
        if not self._known.get(event, 0) < delivery.attempt <= self._failed[event] + 1:
            self.miscounted.append(delivery)
        if event in self._parked and self._onlooker.now < self._parked[event].due_at:
            self.early.append(delivery)
        in_flight = (era.process, era.assignment, delivery.event.key)
        if in_flight in self._in_flight:
            self.overlapping.append(delivery.event.id)
        self._in_flight.add(in_flight)
        try:
            outcome = await super().deliver(delivery)
        except asyncio.CancelledError:
            # It timed out, or its process crashed.
            self._failed[event] += 1
            raise
        finally:
            self._in_flight.discard(in_flight)
        if isinstance(outcome, Retry):
            self._failed[event] += 1
            # Of an attempt that outlived its assignment nobody knows.
            if era == self._enter_era() and not era.outages:
                self._known[event] = delivery.attempt
        return outcome

    def _enter_era(self) -> Era:
        era = self._onlooker.era
        if era != self._era:
            self._era = era
            self._parked = self._onlooker.parked_heads()
            self._known = {} if era.outages else {id_: each.attempts for id_, each in self._parked.items()}
        return era

    async def _answer(self, event: Event) -> Outcome:
        outcome: Outcome = Delivered()
        if self.down:
            outcome = Retry(reason="down")
        elif int(event.id) % self.every == 0:
            outcome = self.moods.get(event.key, outcome)
        if isinstance(outcome, Retry) and not self.down:
            self.tried[event.id] += 1
        if isinstance(outcome, Delivered):
            self.delivered.append(event.id)
        return outcome
