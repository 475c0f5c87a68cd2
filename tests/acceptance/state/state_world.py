"""An org, its ingest and the keepers of its records' states."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

from streamer.controls import AuditRecord, LetterFilter, Redrive
from streamer.events import RecordState
from streamer.settings import Transport
from tests.acceptance.replica.replica import TRACKED, RecordKey
from tests.acceptance.replica.world import Unsettled, World, unread_org
from tests.acceptance.state.judge import StateJudge
from tests.acceptance.state.keepers import Keepers
from tests.acceptance.state.truth import Truth
from tests.streaming import CHANGES

_TURN_S = 5.0
_MOST_TURNS = 600
_STILL = 3
_QUIET_S = 3600.0
_KEEPALIVE_S = 300.0
_ORDERS_A_CHANGE = 2


@dataclass(kw_only=True)
class StateWorld:
    """World whose daemon also keeps states."""

    world: World
    truth: Truth
    keepers: Keepers
    judge: StateJudge
    disturbances: int = 0

    async def settle(self) -> None:
        """Turn the clock until everything that was ordered has ended, and all events were read."""
        await self.redrive()
        await self.world.settle()
        for each in self.keepers.running:
            each.faults.calm()
        if not self.keepers.running:
            self.keepers.start()
        still = 0
        for _ in range(_MOST_TURNS):
            self.keepers.check()
            is_still = self.world.is_done and self.keepers.behind == 0
            still = still + 1 if is_still else 0
            if still == _STILL:
                return await self.world.settle()
            await self.world.turn(_TURN_S)
        board = self.world.log.controls._board
        raise Unsettled(f"{self.keepers.behind} events are not settled, and the orders are {board}")

    async def redrive(self) -> None:
        """Let the daemon read its dead letters again."""
        for _ in range(_MOST_TURNS):
            if not (letters := self.world.log.letters):
                return
            if not self.world.log.controls._board.redrives:
                now = self.world.clock.now()
                order = Redrive(
                    id=str(uuid4()),
                    letters=LetterFilter(channel=CHANGES, ids=frozenset(each.id for each in letters)),
                    per_second=10.0,
                    include_superseded=True,
                    by="history",
                    at=now,
                )
                audit = AuditRecord(at=now, what="redrive.ordered", by="history")
                await self.world.log.controls.order(order, audit)
            await self.world.turn(_TURN_S)
        raise Unsettled("the dead letters stay")

    async def until_quiet(self) -> None:
        """Let an hour pass in which nothing happens; raise when the keepers do anything."""
        await self.settle()
        # After a reset, the daemon can learn of its lost place only from the next keepalive.
        await self.world.wait(_KEEPALIVE_S)
        await self.settle()
        orders, written = len(self.keepers.orders), len(self.world.log.states.written)
        await self.world.wait(_QUIET_S)
        if (more := list(self.keepers.orders.values())[orders:]) and not self.world.complaints():
            raise Unsettled(f"orders of a quiet keeper: {more}")
        if more_written := self.world.log.states.written[written:]:
            raise Unsettled(f"states of a quiet org: {more_written}")

    def complaints(self, *, is_settled: bool) -> dict[str, str]:
        """Return what is wrong by now, by the name of the judgement."""
        self.keepers.check()
        log = self.world.log
        self.judge.excuse(self.world.judge, self.world.holes)
        found: dict[str, str] = dict(self.keepers.complaints)
        for store in self.keepers.stores:
            found |= self.judge.complaints(store, log.events)
        newest: dict[RecordKey, RecordState] = {
            (each.entity, each.record_id): each for each in log.states.written
        }
        if is_settled and (text := self.judge.unequal(newest)):
            found["unequal"] = text
        if len(self.keepers.orders) > self.most_orders:
            number = len(self.keepers.orders)
            found["orders"] = f"{number} orders, and at most {self.most_orders} are sensible"
        return found

    @property
    def counted(self) -> str:
        """Numbers of the history, with the records that the judge excuses."""
        records, judge = len(self.truth.moments), self.judge
        return (
            f"{records} records, {self.truth.changes} changes, {len(self.keepers.orders)} orders, "
            f"{sum(map(len, self.keepers.stores))} states; excused: {len(judge.excused)} for lasting holes, "
            f"{len(judge.incomplete)} for dead letters"
        )

    @property
    def most_orders(self) -> int:
        """Most orders that a history of so many changes can need."""
        first = len(self.keepers.stores) * len(TRACKED)
        return first + _ORDERS_A_CHANGE * self.truth.changes + self.keepers.started + self.disturbances


@asynccontextmanager
async def unkept_org(transport: Transport, objects: tuple[str, ...]) -> AsyncIterator[StateWorld]:
    """Serve an empty org, whose daemon and keepers are not started yet."""
    async with unread_org(transport) as world:
        truth = Truth(sandbox=world.sandbox, path=CHANGES)
        truth.begin()
        # The keeper orders readings beside those of the daemon and of operators.
        world.network.most_requests *= 2
        keepers = Keepers(world=world, objects=objects)
        try:
            yield StateWorld(
                world=world, truth=truth, keepers=keepers, judge=StateJudge(truth=truth, objects=objects)
            )
        finally:
            await keepers.close()
