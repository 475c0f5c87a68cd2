"""Moves of a random history: what happens to an org, and to the daemon that reads it."""

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from streamer.controls import Place
from tests.acceptance.replica.replica import TRACKED
from tests.acceptance.replica.world import TRANSACTION_CHANGES, World

_HOUR_S = 3600.0
_AWAY_S = (10.0, 600.0, 10 * _HOUR_S, 80 * _HOUR_S)
_VALUES = ("Acme", "Berg", "Oslo", "010-1", "a@acme.example")


@dataclass(kw_only=True)
class History:
    """One history, which the random numbers of `draw` decide."""

    world: World
    draw: random.Random
    moves: list[str] = field(default_factory=list)

    async def move(self) -> None:
        """Make one move."""
        choice: Callable[[], Awaitable[str]] = self.draw.choices(
            (
                self._change,
                self._gap,
                self._overflow,
                self._convert,
                self._snapshot,
                self._position,
                self._pass,
                self._kill,
                self._away,
                self._reset,
            ),
            weights=(10, 4, 1, 1, 2, 2, 2, 3, 2, 1),
        )[0]
        self.moves.append(await choice())

    async def _change(self) -> str:
        what = self.draw.choice((self._create, self._update, self._update, self._delete, self._undelete))
        return what()

    def _create(self) -> str:
        entity, count = self._entity(), self.draw.randint(1, 3)
        with self.world.sandbox.org.transaction() as transaction:
            ids = [transaction.create(entity, self._fields(entity, whole=True)) for _ in range(count)]
        return f"created {entity} {ids}"

    def _update(self) -> str:
        entity = self._entity()
        ids = self._some(entity, deleted=False)
        fields = self._fields(entity)
        with self.world.sandbox.org.transaction() as transaction:
            for each in ids:
                transaction.update(entity, each, fields)
        return f"updated {entity} {ids} {fields}"

    def _delete(self) -> str:
        entity = self._entity()
        ids = self._some(entity, deleted=False)
        with self.world.sandbox.org.transaction() as transaction:
            for each in ids:
                transaction.delete(entity, each)
        return f"deleted {entity} {ids}"

    def _undelete(self) -> str:
        entity = self._entity()
        ids = self._some(entity, deleted=True)
        with self.world.sandbox.org.transaction() as transaction:
            for each in ids:
                transaction.undelete(entity, each)
        return f"undeleted {entity} {ids}"

    async def _gap(self) -> str:
        times = self.draw.randint(1, 3)
        in_database, keeps_dates = self.draw.random() < 0.3, self.draw.random() < 0.3
        self.world.sandbox.faults.gap_changes(in_database=in_database, keeps_dates=keeps_dates, times=times)
        told = [await self._change() for _ in range(times)]
        return f"with {times} gaps, in the database: {in_database}, dates kept: {keeps_dates}: {told}"

    async def _overflow(self) -> str:
        entity = self._entity()
        with self.world.sandbox.org.transaction() as transaction:
            for _ in range(2 * TRANSACTION_CHANGES):
                transaction.create(entity, self._fields(entity, whole=True))
            for each in self._some(entity, deleted=False):
                transaction.delete(entity, each)
        return f"more changes of {entity} than a transaction announces"

    async def _convert(self) -> str:
        self.world.sandbox.org.convert_field("Account", "Note__c", "string")
        # Its records keep their stamps, so no query would find them if the stream lost this event.
        await self.world.settle()
        return "Account.Note__c converted"

    async def _snapshot(self) -> str:
        entity = self._entity()
        await self.world.order(entity)
        return f"a snapshot of {entity} was ordered"

    async def _position(self) -> str:
        # New events alone would leave a hole that nothing reads: the replica could not become the org.
        place = self.draw.choice((Place.EARLIEST, Place.SINCE, Place.START))
        since = self.world.clock.now() - self.draw.choice(_AWAY_S) if place is Place.SINCE else None
        repeat = self.draw.random() < 0.5
        if since is not None and (verified_at := self.world.verified_at) is not None:
            # A time beyond what the log holds leaves a hole as well.
            since = min(since, verified_at)
        if repeat:
            # Only a repetition of all that followed ends at the same state.
            await self.world.settle()
        await self.world.order_position(place, since=since, repeat=repeat)
        return f"reading was ordered to go on at {place} {since}, with a repetition: {repeat}"

    async def _pass(self) -> str:
        seconds = self.draw.uniform(1, 300)
        await self.world.turn(seconds)
        return f"{seconds:.0f} s passed"

    async def _kill(self) -> str:
        # Somewhere in the middle of what it does.
        for _ in range(self.draw.randint(0, 10)):
            await self.world.turn(0.1)
        await self.world.kill()
        self.world.start()
        return "killed and started"

    async def _away(self) -> str:
        await self.world.kill()
        seconds = self.draw.choice(_AWAY_S)
        told = []
        for _ in range(self.draw.randint(0, 4)):
            await self.world.turn(seconds / 5)
            told.append(await self._change())
        await self.world.turn(seconds / 5)
        self.world.start()
        return f"away for {seconds:.0f} s: {told}"

    async def _reset(self) -> str:
        # A channel without any event has no position by which a reset shows.
        self._create()
        await self.world.settle()
        told = [await self._change() for _ in range(self.draw.randint(0, 2))]
        # It ends all sessions: the org has moved.
        await self.world.kill()
        self.world.sandbox.faults.reset_stream()
        self.world.start()
        return f"the stream was reset, after {told}"

    def _entity(self) -> str:
        return self.draw.choice(sorted(TRACKED))

    def _some(self, entity: str, *, deleted: bool) -> Sequence[str]:
        org = self.world.sandbox.org
        ids = [
            each["Id"] for each in org.records.all(org.schema.entity(entity)) if each["IsDeleted"] == deleted
        ]
        return self.draw.sample(ids, min(len(ids), self.draw.randint(1, 2)))

    def _fields(self, entity: str, *, whole: bool = False) -> dict[str, Any]:
        required = TRACKED[entity][0]
        fields: dict[str, Any] = {required: self.draw.choice(_VALUES)} if whole else {}
        for name in TRACKED[entity][1:]:
            if self.draw.random() < 0.6:
                fields[name] = self.draw.choice((*_VALUES, None))
        return fields
