"""Redrives: delivers dead letters again, as ordered."""

import asyncio
import heapq
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace

import structlog

from streamer.backoff import Backoff
from streamer.clock import Clock
from streamer.controls import MAX_SKIPPED_CHARACTERS, AuditRecord, Redrive
from streamer.dispatch.dispatcher import Dispatcher
from streamer.dispatch.redrive.compared_letters import ComparedLetters
from streamer.dispatch.redrive.redelivery import Redriven
from streamer.errors import LogUnavailable
from streamer.events import DeadLetter, Partition, SubscriberName
from streamer.ports import Controls

_log = structlog.get_logger()

_MAX_BATCH = 500
_STALE_AFTER_S = 10.0
_BACKOFF = Backoff(first_s=0.5, limit_s=15.0)


@dataclass(slots=True, kw_only=True)
class Redriving:
    """Carries out one order for the partitions that this process owns.

    Every process does so, and one that finds no letters left ends the order. A
    letter that is delivered again is no longer a dead letter, so after a crash
    an order goes on where it was. Letters that are superseded before their turn
    comes are left out, and the order says so.
    """

    order: Redrive
    controls: Controls
    dispatchers: Mapping[SubscriberName, Dispatcher]
    clock: Clock
    _superseded: set[str] = field(default_factory=set, init=False)
    _told: frozenset[str] = field(default=frozenset(), init=False)

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
        """Return the number of letters left, and the number of letters redriven or left out."""
        # The first of each partition, so that the letters of a key stay in
        # order, whatever order the log lists them in.
        first: list[tuple[tuple[str, int, int], str, DeadLetter]] = []
        uncompared = ComparedLetters()
        left = 0
        async with aclosing(self.controls.dead_letters()) as letters:
            async for letter in letters:
                if not self._is_left(letter):
                    continue
                left += 1
                # Letters of other processes would fill the batch.
                dispatcher = self._owner(letter)
                if dispatcher is not None and self._is_compared(letter, dispatcher):
                    first.append((_place(letter), letter.id, letter))
                elif dispatcher is not None and not uncompared.is_full:
                    uncompared.add_deliverable(letter)
                if len(first) >= 2 * _MAX_BATCH:
                    first = heapq.nsmallest(_MAX_BATCH, first)
        if uncompared.deliverable:
            await self._compare(uncompared)
            return await self._redrive_batch()
        moved = await self._redrive_in_order([letter for *_, letter in heapq.nsmallest(_MAX_BATCH, first)])
        left_out = len(self._superseded - self._told)
        if left_out:
            await self._leave_out(left_out)
        return left, moved + left_out

    def _is_left(self, letter: DeadLetter) -> bool:
        return self.order.admits(letter) and letter.id not in self._superseded

    def _is_compared(self, letter: DeadLetter, dispatcher: Dispatcher) -> bool:
        """Return true for a letter that was compared with later events, if it has to be."""
        return self.order.include_superseded or dispatcher.watches(letter)

    def _owner(self, letter: DeadLetter) -> Dispatcher | None:
        dispatcher = self.dispatchers.get(letter.subscriber) if letter.subscriber else None
        if dispatcher is None or letter.partition is None or not dispatcher.holds(letter.partition):
            return None
        return dispatcher

    async def _compare(self, letters: ComparedLetters) -> None:
        """Find out which of `letters` were superseded before this process began to watch their keys."""
        async with aclosing(self.controls.dead_letters()) as others:
            async for letter in others:
                if not letters.is_full:
                    letters.add_other(letter)
        for name, uncompared in letters.deliverable.items():
            if dispatcher := self.dispatchers.get(name):
                self._superseded |= await dispatcher.superseded(uncompared, letters.others[name])

    async def _redrive_in_order(self, letters: list[DeadLetter]) -> int:
        moved, limit = 0, self._batch_limit()
        waiting: set[tuple[Partition | None, str]] = set()
        for letter in letters:
            if moved == limit:
                break
            key = letter.partition, letter.event.key if letter.event else ""
            # A later letter of a key would overtake one that has to wait.
            if key in waiting or letter.id in self._superseded:
                continue
            match self._redrive(letter):
                case Redriven.TAKEN:
                    moved += 1
                    await self.clock.sleep(1 / self.order.per_second)
                case Redriven.SUPERSEDED:
                    self._superseded.add(letter.id)
                case Redriven.NOT_OURS:
                    waiting.add(key)
        return moved

    def _redrive(self, letter: DeadLetter) -> Redriven:
        dispatcher = self._owner(letter)
        # The partition can have been lost and assigned again, so its letters must be compared again.
        if dispatcher is None or not self._is_compared(letter, dispatcher):
            return Redriven.NOT_OURS
        return dispatcher.redrive(letter, include_superseded=self.order.include_superseded)

    async def _leave_out(self, number: int) -> None:
        """Tell all processes which letters are superseded, so that any of them can end the order."""
        told = frozenset(self._superseded)
        skipped = self.order.skipped | told
        if sum(map(len, skipped)) > MAX_SKIPPED_CHARACTERS:
            _log.warning("redrive.too_many_superseded", redrive=self.order.id, letters=len(skipped))
        else:
            audit = self._audit("redrive.superseded", letters=number)
            await self.controls.leave_out(self.order.id, skipped, audit)
            _log.info("redrive.superseded", redrive=self.order.id, letters=number)
        # Not before: while the log is away, the next pass tells it.
        self._told = told

    def _batch_limit(self) -> int:
        # An operator can discard letters while others are redriven, so a batch must not last long.
        return max(1, min(_MAX_BATCH, int(self.order.per_second * _STALE_AFTER_S)))

    async def _end(self) -> None:
        audit = self._audit("redrive.ended")
        # Logged first: writing the end cancels this task.
        _log.info("redrive.ended", redrive=self.order.id)
        await self.controls.order(replace(self.order, ended_at=audit.at), audit)

    def _audit(self, what: str, **detail: int) -> AuditRecord:
        return AuditRecord(
            at=self.clock.now(),
            what=what,
            by="streamer",
            subscriber=self.order.letters.subscriber,
            detail={"id": self.order.id, **detail},
        )


@dataclass(slots=True, kw_only=True)
class Redrives:
    """Runs one `Redriving` for each open order."""

    controls: Controls
    dispatchers: Mapping[SubscriberName, Dispatcher]
    clock: Clock
    group: asyncio.TaskGroup
    _running: dict[str, tuple[Redriving, asyncio.Task[None]]] = field(default_factory=dict, init=False)

    def follow(self, orders: Mapping[str, Redrive]) -> None:
        """Carry out `orders`, and no others."""
        for name in self._running.keys() - orders.keys():
            self._running.pop(name)[1].cancel()
        for name, order in orders.items():
            if name in self._running:
                # Another process can have left letters out.
                self._running[name][0].order = order
            else:
                self._running[name] = self._begun(order)
        self._unwatch()

    def _begun(self, order: Redrive) -> tuple[Redriving, asyncio.Task[None]]:
        redriving = Redriving(
            order=order, controls=self.controls, dispatchers=self.dispatchers, clock=self.clock
        )
        return redriving, self.group.create_task(redriving.run(), name=f"redrive {order.id}")

    def _unwatch(self) -> None:
        """Let the dispatchers without an order watch no keys."""
        ordered = {redriving.order.letters.subscriber for redriving, _ in self._running.values()}
        for name, dispatcher in self.dispatchers.items():
            if not ordered & {name, None}:
                dispatcher.watch_nothing()

    def close(self) -> None:
        """Cancel all of them; the next process goes on."""
        self.follow({})


def _place(letter: DeadLetter) -> tuple[str, int, int]:
    if letter.partition is None:
        return "", 0, 0
    return letter.partition.topic, letter.partition.number, letter.offset or 0
