"""Redrives: delivers dead letters again, as ordered."""

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

_MAX_BATCH = 500
_STALE_AFTER_S = 10.0
_BACKOFF = Backoff(first_s=0.5, limit_s=15.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Redriving:
    """Carries out one order for the partitions that this process owns.

    Every process does so, and one that finds no letters left ends the order. A
    letter that is delivered again is no longer a dead letter, so after a crash
    an order goes on where it was.
    """

    order: Redrive
    controls: Controls
    dispatchers: Mapping[SubscriberName, Dispatcher]
    clock: Clock

    async def run(self) -> None:
        """Redrive until no letters are left."""
        idle = 0
        while True:
            try:
                left, moved = await self._redrive_batch()
                if not left:
                    await self._end()
                    return
            except LogUnavailable as error:
                _log.warning("redrive.delayed", redrive=self.order.id, reason=str(error))
                moved = 0
            idle = 0 if moved else idle + 1
            await self.clock.sleep(_BACKOFF.delay_s(1 + idle))

    async def _redrive_batch(self) -> tuple[int, int]:
        """Return the number of letters found, and the number of letters redriven."""
        # The first of each partition, so that the letters of a key stay in
        # order, whatever order the log lists them in.
        first: list[tuple[tuple[str, int, int], str, DeadLetter]] = []
        left = 0
        async for letter in self.controls.dead_letters():
            if self.order.admits(letter):
                left += 1
                # Letters of other processes would fill the batch.
                if self._is_ours(letter):
                    first.append((_place(letter), letter.id, letter))
                if len(first) >= 2 * _MAX_BATCH:
                    first = heapq.nsmallest(_MAX_BATCH, first)
        return left, await self._redrive_in_order(
            [letter for *_, letter in heapq.nsmallest(_MAX_BATCH, first)]
        )

    def _is_ours(self, letter: DeadLetter) -> bool:
        dispatcher = self.dispatchers.get(letter.subscriber) if letter.subscriber else None
        return dispatcher is not None and letter.partition is not None and dispatcher.holds(letter.partition)

    async def _redrive_in_order(self, letters: list[DeadLetter]) -> int:
        moved, limit = 0, self._batch_limit()
        waiting: set[tuple[Partition | None, str]] = set()
        for letter in letters:
            if moved == limit:
                break
            key = letter.partition, letter.event.key if letter.event else ""
            dispatcher = self.dispatchers.get(letter.subscriber) if letter.subscriber else None
            # A later letter of a key would overtake one that has to wait.
            if key in waiting or dispatcher is None or not dispatcher.redrive(letter):
                waiting.add(key)
                continue
            moved += 1
            await self.clock.sleep(1 / self.order.per_second)
        return moved

    def _batch_limit(self) -> int:
        # An operator can discard letters while others are redriven, so a batch must not last long.
        return max(1, min(_MAX_BATCH, int(self.order.per_second * _STALE_AFTER_S)))

    async def _end(self) -> None:
        now = self.clock.now()
        audit = AuditRecord(
            at=now,
            what="redrive.ended",
            by="streamer",
            subscriber=self.order.letters.subscriber,
            detail={"id": self.order.id},
        )
        # Logged first: writing the end cancels this task.
        _log.info("redrive.ended", redrive=self.order.id)
        await self.controls.order(replace(self.order, ended_at=now), audit)


@dataclass(slots=True, kw_only=True)
class Redrives:
    """Runs one `Redriving` for each open order."""

    controls: Controls
    dispatchers: Mapping[SubscriberName, Dispatcher]
    clock: Clock
    group: asyncio.TaskGroup
    _running: dict[str, asyncio.Task[None]] = field(default_factory=dict, init=False)

    def follow(self, orders: Mapping[str, Redrive]) -> None:
        """Carry out `orders`, and no others."""
        for name in self._running.keys() - orders.keys():
            self._running.pop(name).cancel()
        for name in orders.keys() - self._running.keys():
            redriving = Redriving(
                order=orders[name], controls=self.controls, dispatchers=self.dispatchers, clock=self.clock
            )
            self._running[name] = self.group.create_task(redriving.run(), name=f"redrive {name}")

    def close(self) -> None:
        """Cancel all of them; the next process goes on."""
        self.follow({})


def _place(letter: DeadLetter) -> tuple[str, int, int]:
    if letter.partition is None:
        return "", 0, 0
    return letter.partition.topic, letter.partition.number, letter.offset or 0
