"""Delivers dead letters again, as ordered."""

import asyncio
import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import structlog

from streamer.backoff import Backoff
from streamer.clock import Clock
from streamer.controls import AuditRecord, Redrive
from streamer.dispatch.dispatcher import Dispatcher
from streamer.errors import LogUnavailable
from streamer.events import DeadLetter, Partition, SubscriberName
from streamer.ports import Controls

_log = structlog.get_logger()

_AT_ONCE = 500
_STALE_AFTER_S = 10.0
_PAUSES = Backoff(first_s=0.5, limit_s=15.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Redriving:
    """Carries out one order, as far as the partitions of its letters are this process's.

    Each process does so, and whoever finds nothing left says that it has
    ended. A letter that is being delivered again is a letter no more, so an
    order goes on where it was after a crash.
    """

    order: Redrive
    controls: Controls
    dispatchers: Mapping[SubscriberName, Dispatcher]
    clock: Clock

    async def run(self) -> None:
        """Redrive until nothing is left."""
        idle = 0
        while True:
            try:
                left, moved = await self._pass()
                if not left:
                    await self._end()
                    return
            except LogUnavailable as error:
                _log.warning("redrive.delayed", redrive=self.order.id, reason=str(error))
                moved = 0
            idle = 0 if moved else idle + 1
            await self.clock.sleep(_PAUSES.delay_s(1 + idle))

    async def _pass(self) -> tuple[int, int]:
        """Return how many letters there were to redrive, and how many of them were."""
        # The first of each partition, so that those of a key stay in order
        # whatever order the log lists them in.
        first: list[tuple[tuple[str, int, int], str, DeadLetter]] = []
        left = 0
        async for letter in self.controls.dead_letters():
            if self.order.admits(letter):
                left += 1
                # Those of other processes would take the places of ours.
                if self._is_ours(letter):
                    first.append((_place(letter), letter.id, letter))
                if len(first) >= 2 * _AT_ONCE:
                    first = heapq.nsmallest(_AT_ONCE, first)
        return left, await self._moved([letter for *_, letter in heapq.nsmallest(_AT_ONCE, first)])

    def _is_ours(self, letter: DeadLetter) -> bool:
        dispatcher = self.dispatchers.get(letter.subscriber) if letter.subscriber else None
        return dispatcher is not None and letter.partition is not None and dispatcher.holds(letter.partition)

    async def _moved(self, letters: list[DeadLetter]) -> int:
        moved, most = 0, self._most()
        waiting: set[tuple[Partition | None, str]] = set()
        for letter in letters:
            if moved == most:
                break
            key = letter.partition, letter.event.key if letter.event else ""
            dispatcher = self.dispatchers.get(letter.subscriber) if letter.subscriber else None
            # What comes after one that has to wait would overtake it.
            if key in waiting or dispatcher is None or not dispatcher.redrive(letter):
                waiting.add(key)
                continue
            moved += 1
            await self.clock.sleep(1 / self.order.per_second)
        return moved

    def _most(self) -> int:
        # Letters may be discarded while others are handed over, so a list must not be used for long.
        return max(1, min(_AT_ONCE, int(self.order.per_second * _STALE_AFTER_S)))

    async def _end(self) -> None:
        now = self.clock.now()
        audit = AuditRecord(
            at=now,
            what="redrive.ended",
            by="streamer",
            subscriber=self.order.letters.subscriber,
            detail={"id": self.order.id},
        )
        # Said first, for an order that has ended is carried out no longer.
        _log.info("redrive.ended", redrive=self.order.id)
        await self.controls.order(replace(self.order, ended_at=now), audit)


@dataclass(slots=True, kw_only=True)
class Redrives:
    """Lets every open order be carried out, each once at a time."""

    controls: Controls
    dispatchers: Mapping[SubscriberName, Dispatcher]
    clock: Clock
    group: asyncio.TaskGroup
    _running: dict[str, asyncio.Task[None]] = field(default_factory=dict, init=False)

    def are(self, orders: Mapping[str, Redrive]) -> None:
        """Carry out `orders` and no others."""
        for name in self._running.keys() - orders.keys():
            self._running.pop(name).cancel()
        for name in orders.keys() - self._running.keys():
            redriving = Redriving(
                order=orders[name], controls=self.controls, dispatchers=self.dispatchers, clock=self.clock
            )
            self._running[name] = self.group.create_task(redriving.run(), name=f"redrive {name}")

    def close(self) -> None:
        """End all of them; the next process goes on."""
        self.are({})


def _place(letter: DeadLetter) -> tuple[str, int, int]:
    if letter.partition is None:
        return "", 0, 0
    return letter.partition.topic, letter.partition.number, letter.offset or 0
