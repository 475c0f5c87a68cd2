"""Redrives: carries out orders to deliver dead letters again."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

import structlog

from streamer.backoff import Backoff
from streamer.clock import Clock
from streamer.controls import MAX_SKIPPED_CHARACTERS, AuditRecord, Redrive
from streamer.dispatch.dispatcher import Dispatcher
from streamer.dispatch.redrive import LetterPlaces, PlacedLetter, Redriven, RedrivePlan, pages
from streamer.errors import LogUnavailable
from streamer.events import DeadLetter, LetterHead, Partition, SubscriberName
from streamer.ports import Controls, LetterCursor

_log = structlog.get_logger()

# Most dead letters with their content in memory at once.
_MAX_BATCH, _MAX_BATCH_BYTES = 100, 8 * 1024 * 1024
_CHECKED_AT_ONCE = 100
_STALE_AFTER_S = 10.0
_BACKOFF = Backoff(first_s=0.5, limit_s=15.0)


@dataclass(slots=True, kw_only=True)
class Redriving:
    """Carries out one redrive order, for the partitions that this process owns.

    All processes work on the order; the process that finds no dead letters left ends
    the order. A redriven event is no longer a dead letter, so after a crash the order
    continues with the other dead letters. If a dead letter is superseded before its turn, it is not
    redriven, and the order lists its id.

    The process reads the heads of the dead letters when the order begins. The process
    reads the heads again when it gets partitions whose dead letters must be compared
    with later events. The full dead letter is read once, at its turn.
    """

    order: Redrive
    controls: Controls
    dispatchers: Mapping[SubscriberName, Dispatcher]
    clock: Clock
    _cursor: LetterCursor | None = field(default=None, init=False)
    _plan: RedrivePlan = field(default_factory=RedrivePlan, init=False)
    _superseded: set[str] = field(default_factory=set, init=False)
    _told: frozenset[str] = field(default=frozenset(), init=False)

    async def run(self) -> None:
        """Redrive until no dead letters are left."""
        idle = 0
        while True:
            try:
                moved = await self._redrive_batch()
                if not moved and await self._is_over():
                    await self._end()
                    return
            except LogUnavailable as error:
                _log.warning("redrive.delayed", redrive=self.order.id, reason=str(error))
                moved = 0
            idle = 0 if moved else idle + 1
            await self.clock.sleep(_BACKOFF.delay_s(1 + idle))

    async def _redrive_batch(self) -> int:
        """Redrive a batch; return the number of dead letters that were redriven or found to be superseded."""
        cursor = await self._caught_up()
        taken = self._take()
        if not all(map(self._is_compared, taken)):
            cursor = await self._begun()
            taken = self._take()
        moved = await self._redrive_in_order(cursor, taken)
        left_out = len(self._superseded - self._told)
        if left_out:
            await self._leave_out(left_out)
        return moved + left_out

    async def _caught_up(self) -> LetterCursor:
        """Apply the changes since the last pass to the plan."""
        if self._cursor is None:
            return await self._begun()
        async with aclosing(self._cursor.heads()) as heads:
            changed = [head async for head in heads if head.id in self._plan or self.order.admits(head)]
        if any(map(self._is_left, changed)):
            # A process with a slow clock has set this event aside.
            return await self._begun()
        # These events have failed again, so the order no longer covers them.
        self._plan.drop(head.id for head in changed)
        self._plan.drop(self.order.skipped)
        kept = await self._cursor.kept(self._plan.taken)
        self._plan.drop({*self._plan.taken}.difference(kept))
        # The log has not recorded these redrives yet, or the partition was lost before.
        self._plan.put_back(kept)
        return self._cursor

    async def _begun(self) -> LetterCursor:
        """Plan the order's dead letters.

        Dead letters in this process's partitions are compared with later events.
        """
        self._cursor = None
        cursor, letters = self.controls.letter_cursor(), list[PlacedLetter]()
        aside: dict[SubscriberName, LetterPlaces] = defaultdict(LetterPlaces)
        async with aclosing(cursor.heads()) as heads:
            async for head in heads:
                if head.subscriber is not None and self.order.letters.subscriber in {None, head.subscriber}:
                    aside[head.subscriber].add(head)
                if self._is_left(head):
                    letters.append(PlacedLetter.of(head))
        self._plan = RedrivePlan(letters)
        await self._compare([each for each in letters if not self._is_compared(each)], aside)
        self._plan.drop(self._superseded)
        self._cursor = cursor
        return cursor

    async def _compare(
        self, letters: Sequence[PlacedLetter], aside: Mapping[SubscriberName, LetterPlaces]
    ) -> None:
        """Find the `letters` that were superseded before this process began to watch the letters' keys."""
        for name in {
            letter.subscriber for letter in letters if self._holds(letter.subscriber, letter.partition)
        }:
            ours = (each for each in letters if each.subscriber == name and self._holds(name, each.partition))
            for page in pages(ours):
                if dispatcher := self.dispatchers.get(name):
                    self._superseded |= await dispatcher.redelivery.superseded(page, aside[name])

    def _take(self) -> list[PlacedLetter]:
        return self._plan.take(self._holds, letters=self._batch_limit(), size=_MAX_BATCH_BYTES)

    def _is_left(self, head: LetterHead) -> bool:
        return self.order.admits(head) and head.id not in self._superseded

    def _is_compared(self, letter: PlacedLetter | DeadLetter) -> bool:
        """Return true for a dead letter that was compared with later events, or needs no comparison."""
        dispatcher = self.dispatchers.get(letter.subscriber) if letter.subscriber else None
        return self.order.include_superseded or (
            dispatcher is not None and dispatcher.state.latest.watches(letter)
        )

    def _holds(self, name: SubscriberName, partition: Partition) -> bool:
        dispatcher = self.dispatchers.get(name)
        return dispatcher is not None and partition in dispatcher.state.ledger.partitions

    async def _redrive_in_order(self, cursor: LetterCursor, taken: Sequence[PlacedLetter]) -> int:
        async with aclosing(cursor.letters([place.id for place in taken])) as letters:
            found = {letter.id: letter async for letter in letters}
        moved = 0
        waiting: set[tuple[Partition, str]] = set()
        for place in taken:
            letter, key = found.get(place.id), (place.partition, place.key)
            if letter is None or not self.order.admits(letter):
                self._plan.drop([place.id])
                continue
            # A later dead letter of the same key must not overtake a waiting dead letter.
            if key in waiting:
                continue
            match self._redrive(letter):
                case Redriven.TAKEN:
                    moved += 1
                    await self.clock.sleep(1 / self.order.per_second)
                case Redriven.SUPERSEDED:
                    self._superseded.add(letter.id)
                    self._plan.drop([letter.id])
                case Redriven.NOT_OURS:
                    waiting.add(key)
        return moved

    def _redrive(self, letter: DeadLetter) -> Redriven:
        dispatcher = self.dispatchers.get(letter.subscriber) if letter.subscriber else None
        # The partition can have been lost and assigned again, so its dead letters must be compared
        # again.
        if dispatcher is None or not self._is_compared(letter):
            return Redriven.NOT_OURS
        return dispatcher.redelivery.redrive(letter, include_superseded=self.order.include_superseded)

    async def _is_over(self) -> bool:
        """Return true once the log holds no dead letter of the order, in any partition."""
        if self._cursor is None or self._plan.taken:
            return False
        while ids := self._plan.first(_CHECKED_AT_ONCE):
            if kept := await self._cursor.kept(ids):
                self._plan.drop({*ids}.difference(kept))
                return False
            self._plan.drop(ids)
        return True

    async def _leave_out(self, number: int) -> None:
        """Publish the superseded dead letters to all processes, so that any process can end the order."""
        told = frozenset(self._superseded)
        skipped = self.order.skipped | told
        if sum(map(len, skipped)) > MAX_SKIPPED_CHARACTERS:
            _log.warning("redrive.too_many_superseded", redrive=self.order.id, letters=len(skipped))
        else:
            audit = self._audit("redrive.superseded", letters=number)
            await self.controls.leave_out(self.order.id, skipped, audit)
            _log.info("redrive.superseded", redrive=self.order.id, letters=number)
        # This assignment follows the append. If the append fails, the next pass publishes the ids
        # again.
        self._told = told

    def _batch_limit(self) -> int:
        # An operator can discard dead letters during a redrive, so a batch must be short.
        return max(1, min(_MAX_BATCH, int(self.order.per_second * _STALE_AFTER_S)))

    async def _end(self) -> None:
        audit = self._audit("redrive.ended")
        # The log line comes first, because writing the end cancels this task.
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
        """Carry out exactly these `orders`."""
        for name in self._running.keys() - orders.keys():
            self._running.pop(name)[1].cancel()
        for name, order in orders.items():
            if name in self._running:
                # Another process can have found more superseded dead letters.
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
        """Stop watching keys in dispatchers without an order."""
        ordered = {redriving.order.letters.subscriber for redriving, _ in self._running.values()}
        for name, dispatcher in self.dispatchers.items():
            if not ordered & {name, None}:
                dispatcher.state.latest.clear()

    def close(self) -> None:
        """Cancel all redrives; the next process continues them."""
        self.follow({})
