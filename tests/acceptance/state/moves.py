"""Moves of a random history with keepers of states."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar
from zlib import crc32

from streamer.controls import AuditRecord, SnapshotOrder
from streamer.events import Event, SubscriberName
from streamer.state.keeper import SUBSCRIBER
from tests.acceptance.replica.moves import WEIGHTS as REPLICA_WEIGHTS
from tests.acceptance.replica.moves import History
from tests.acceptance.replica.replica import RecordKey
from tests.acceptance.state.changes import FullChanges
from tests.acceptance.state.faults import drawn_fault
from tests.acceptance.state.keepers import Keeper
from tests.acceptance.state.state_world import StateWorld
from tests.streaming import CHANGES

_SETTLED_S = (0.0, 0.3, 2.0, 20.0)

WEIGHTS: Mapping[str, int] = {
    **REPLICA_WEIGHTS,
    "change": 8,
    "keeper_kill": 3,
    "keeper_away": 3,
    "second": 3,
    "hand_over": 4,
    "state_log": 4,
    "killed_after_commit": 2,
    "at_once": 3,
    "bounce": 3,
    "texts": 2,
    "partial": 3,
    "store": 1,
    "bin": 1,
    "expired": 1,
    "refused": 2,
}
"""Moves by their names, and how often each is drawn."""


@dataclass(kw_only=True)
class StateHistory(History):
    """History of one seed."""

    weights: ClassVar[Mapping[str, int]] = WEIGHTS

    states: StateWorld
    changes: FullChanges = field(init=False)

    def _begin(self, part: str) -> None:
        super()._begin(part)
        self.changes = FullChanges(world=self.world, draw=self.draw)

    async def _convert(self) -> str:
        await self.states.settle()
        self.world.sandbox.org.convert_field("Account", "Note__c", "string")
        self.world.journal.note()
        self.states.truth.note()
        await self.states.settle()
        return "Account.Note__c converted"

    async def _keeper_kill(self) -> str:
        told = [self.changes.any() for _ in range(self.draw.randint(0, 2))]
        await self._some_turns()
        for keeper in self._one():
            await self.states.keepers.kill(keeper)
        self.states.keepers.start()
        return f"a keeper was killed and started, after {told}"

    async def _keeper_away(self) -> str:
        await self._some_turns()
        await self.states.keepers.kill_all()
        told = []
        for _ in range(self.draw.randint(1, 4)):
            told.append(self.changes.any())
            await self.world.turn(self.draw.choice((0.5, 5.0, 600.0)))
        for _ in range(self.draw.randint(1, 2)):
            self.states.keepers.start()
        return f"keepers away: {told}"

    async def _second(self) -> str:
        keepers = self.states.keepers
        if len(keepers.running) > 1:
            await self._some_turns()
            await keepers.kill(self.draw.choice(keepers.running))
            return "a second keeper was killed"
        keepers.ahead_s = self.draw.choice((-90.0, -5.0, 0.0, 5.0, 90.0))
        keepers.start()
        return f"another keeper was started, up to {keepers.ahead_s:.0f} s ahead"

    async def _hand_over(self) -> str:
        if len(self.states.keepers.running) < 2:
            self.states.keepers.start()
        told = [self.changes.any() for _ in range(self.draw.randint(0, 2))]
        await self._some_turns()
        consumers, keepers = self.world.log.consumers, self.states.keepers
        feeds = [each.log.feed for each in keepers.running if each.log.feed is not None]
        chosen = [each for each in keepers.partitions if self.draw.random() < 0.7]
        if not (feeds and chosen):
            return "no partition to hand over"
        to, name = self.draw.choice(feeds), SubscriberName(SUBSCRIBER)
        if self.draw.random() < 0.5:
            consumers.reassign(name, chosen, to=to)
            return f"{chosen} lost to another keeper, after {told}"
        moving = asyncio.create_task(consumers.hand_over(name, chosen, to=to), name="hand-over")
        for _ in range(40):
            if moving.done():
                break
            await self.world.turn(1.0)
        is_done = moving.done()
        if not is_done:
            moving.cancel()
            consumers.reassign(name, chosen, to=to)
        return f"{chosen} handed over at rest ({is_done}), after {told}"

    async def _state_log(self) -> str:
        told = []
        for keeper in self.states.keepers.running:
            if self.draw.random() < 0.3:
                keeper.faults.down = True
                told.append("down")
            else:
                told.append(drawn_fault(self.draw, keeper.faults))
            self.states.disturbances += 1
        told += [self.changes.any() for _ in range(self.draw.randint(1, 3))]
        await self.world.turn(self.draw.choice((0.5, 5.0, 60.0)))
        for keeper in self.states.keepers.running:
            keeper.faults.down = False
        return f"{told}"

    async def _killed_after_commit(self) -> str:
        for keeper in self._one():
            keeper.faults.on_settled = partial(_cancel, keeper)
            told = [self.changes.any() for _ in range(self.draw.randint(1, 3))]
            await self.world.turn(self.draw.choice(_SETTLED_S))
            keeper.faults.on_settled = None
            await self.states.keepers.kill(keeper)
            self.states.keepers.start()
            return f"a keeper was killed after a commit: {told}"
        return "no keeper"

    async def _at_once(self) -> str:
        told = [self.changes.again_and_again(self.draw.randint(2, 5))]
        if self.draw.random() < 0.4:
            await self.world.turn(self.draw.choice((0.2, 0.9)))
            told.append(self.changes.again_and_again(self.draw.randint(1, 3)))
        return f"{told}"

    async def _bounce(self) -> str:
        if self.draw.random() < 0.3:
            in_database = self.draw.random() < 0.3
            self.world.sandbox.faults.gap_changes(in_database=in_database, times=self.draw.randint(1, 3))
        told = []
        for _ in range(self.draw.randint(1, 3)):
            told.append(self.changes.bounce())
            await self.world.turn(self.draw.choice((0.1, 1.0, 10.0)))
        return f"{told}"

    async def _texts(self) -> str:
        told = []
        for _ in range(self.draw.randint(1, 3)):
            told.append(self.changes.text())
            await self.world.turn(self.draw.choice((0.1, 1.0, 10.0)))
        return f"{told}"

    async def _partial(self) -> str:
        """Order a snapshot of some records or of some fields, as an operator can."""
        entity, now = self.changes.entity(), self.world.clock.now()
        fields = {"Account": ("Name", "BillingCity"), "Contact": ("Title", "Email")}[entity]
        where = {"Account": "Phone = null", "Contact": "Phone = null"}[entity]
        order = SnapshotOrder(
            id=SnapshotOrder.new_id(),
            channel=CHANGES,
            entity=entity,
            where=self.draw.choice(("", where)),
            fields=self.draw.choice(((), fields, fields)),
            since=self.draw.choice((None, None, now - 600)),
            by="history",
            at=now,
        )
        told = [self.changes.any() for _ in range(self.draw.randint(0, 2))]
        audit = AuditRecord(at=now, what="snapshot.ordered", by="history")
        await self.world.log.controls.order_snapshot(order, audit)
        if self.draw.random() < 0.5:
            told.append(self.changes.any())
            await self._some_turns()
            told.append(self.changes.any())
        return f"{entity} {order.where!r} {order.fields} since {order.since}, with {told}"

    async def _store(self) -> str:
        await self._some_turns()
        await self.states.keepers.kill_all()
        told = [self.changes.any() for _ in range(self.draw.randint(0, 2))]
        self.states.keepers.renew_store()
        self.states.keepers.start()
        return f"the store was made again, after {told}"

    async def _expired(self) -> str:
        """Keep the keepers away until the log has deleted events that they have not read."""
        keepers = self.states.keepers
        await keepers.kill_all()
        told = [self.changes.any() for _ in range(self.draw.randint(1, 3))]
        await self.world.turn(self.draw.choice((2.0, 600.0)))
        keepers.start()
        keepers.running[0].faults.expired = 1
        told += [self.changes.any() for _ in range(self.draw.randint(0, 2))]
        return f"the log has deleted events that no keeper has read: {told}"

    async def _refused(self) -> str:
        """Let the log refuse the events of some records, which are dead letters then."""
        if not self.world.repairs_gaps:
            # No row follows a redriven event then, so the replica of the log stays behind.
            return "left out: gaps are not repaired"
        refused: set[str] = set()
        self.world.log.faults.refuse = partial(_is_refused, refused, self.states.judge.incomplete)
        told = []
        for _ in range(self.draw.randint(1, 3)):
            told.append(self.changes.any())
            await self.world.turn(self.draw.choice((0.5, 5.0)))
        self.world.log.faults.refuse = lambda _: False
        told.append(self.changes.any())
        if self.draw.random() < 0.5:
            await self.states.redrive()
        return f"{len(refused)} events were refused: {told}"

    async def _bin(self) -> str:
        # A deletion that is not in the log yet would be lost.
        await self.states.settle()
        return f"the Recycle Bin of {self.world.sandbox.org.empty_recycle_bin()} records was emptied"

    async def _some_turns(self) -> None:
        for _ in range(self.draw.randint(0, 6)):
            await self.world.turn(self.draw.choice((0.1, 0.1, 1.0)))

    def _one(self) -> list[Keeper]:
        running = self.states.keepers.running
        return [self.draw.choice(running)] if running else []


def _is_refused(refused: set[str], incomplete: set[RecordKey], event: Event) -> bool:
    """Return whether the log refuses an event: one in two that the stream has brought."""
    if event.data["record_id"] is None or event.is_gap or event.data.keys() & {"snapshot", "recovered"}:
        return False
    is_refused = event.id in refused or crc32(_place(event)) % 2 == 0
    if is_refused:
        refused.add(event.id)
        incomplete.add((event.data["entity"], event.data["record_id"]))
    return is_refused


def _place(event: Event) -> bytes:
    # The id of an event is another in each run of a seed.
    return f"{event.data['record_id']}:{event.data['transaction']['commit_number']}".encode()


def _cancel(keeper: Keeper) -> None:
    keeper.task.cancel()
