"""Keepers of states that share a log, and their end, hand-overs and faults."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from prometheus_client import CollectorRegistry

from streamer.clock import Clock
from streamer.controls import SnapshotOrder
from streamer.events import Partition, RecordState, SubscriberName
from streamer.log.memory.controls import MemoryRecordStates
from streamer.observe.state_metrics import StateMetrics
from streamer.state.keeper import SUBSCRIBER, StateKeeper
from streamer.state.readings import StateReadings
from tests.acceptance.replica.org_clock import OrgClock
from tests.acceptance.replica.world import World
from tests.acceptance.state.faults import KeeperFaults, KeeperLog
from tests.streaming import CHANGES

if TYPE_CHECKING:
    from streamer.state.keeper import StateLog


@dataclass(kw_only=True)
class Keeper:
    """One keeper that runs, and its side of the log."""

    log: KeeperLog
    faults: KeeperFaults
    task: asyncio.Task[None]


@dataclass(kw_only=True)
class Keepers:
    """Keepers of the states of `objects`.

    `orders` are all orders that any keeper has made. `former` has the states of the
    stores that are lost.
    """

    world: World
    objects: Sequence[str]
    ahead_s: float = 0.0
    log_type: type[KeeperLog] = KeeperLog
    running: list[Keeper] = field(default_factory=list)
    orders: dict[str, SnapshotOrder] = field(default_factory=dict)
    complaints: dict[str, str] = field(default_factory=dict)
    started: int = 0
    former: list[Sequence[RecordState]] = field(default_factory=list)

    @property
    def stores(self) -> Sequence[Sequence[RecordState]]:
        """States that were written to each store, in their order."""
        return [*self.former, self.world.log.states.written]

    @property
    def partitions(self) -> Sequence[Partition]:
        """Partitions with the changes of the objects."""
        topics = {f"salesforce.cdc.{each}" for each in self.objects}
        return [each for each in self.world.log.partitions if each.topic in topics]

    @property
    def behind(self) -> int:
        """Number of events that are not settled."""
        settled = self.world.log.settled.get(SubscriberName(SUBSCRIBER), {})
        ends = {each: len(self.world.log.partitions.of(each)) for each in self.partitions}
        return sum(end - (settled[each].next_offset if each in settled else 0) for each, end in ends.items())

    def start(self) -> None:
        """Start another keeper, whose clock differs if there is one already."""
        faults = KeeperFaults()
        log = self.log_type(self.world.log, faults, self.orders)
        clock: Clock = self.world.clock
        if self.running:
            clock = OrgClock(clock=self.world.clock, most_s=self.ahead_s)
        of_keeper = cast("StateLog", log)
        unrepaired = [] if self.world.repairs_gaps else [CHANGES]
        keeper = StateKeeper(
            log=of_keeper,
            clock=clock,
            readings=StateReadings.of(self.objects, [CHANGES], of_keeper, clock, unrepaired),
            metrics=StateMetrics(CollectorRegistry()),
        )
        self.started += 1
        task = asyncio.create_task(keeper.run(), name=f"keeper {self.started}")
        self.running.append(Keeper(log=log, faults=faults, task=task))

    async def kill(self, keeper: Keeper) -> None:
        """End a keeper wherever it is."""
        self.check()
        keeper.task.cancel()
        await asyncio.wait([keeper.task])
        if keeper in self.running:
            self.running.remove(keeper)

    async def kill_all(self) -> None:
        """End all keepers."""
        for each in list(self.running):
            await self.kill(each)

    def check(self) -> None:
        """Note a keeper that has ended by itself."""
        for each in list(self.running):
            if each.task.done():
                self.running.remove(each)
                # A fault cancels a keeper.
                if not each.task.cancelled():
                    self.complaints.setdefault("ended", f"a keeper ended: {each.task.exception()!r}")

    def renew_store(self) -> None:
        """Replace the store of states by a new one, as somebody who deletes its topic does."""
        log = self.world.log
        self.former.append(log.states.written)
        log.consumers.states = MemoryRecordStates(log.partitions, log.settled)
        # The settled offsets stay where they are: they are stored elsewhere.

    async def close(self) -> None:
        """End all keepers, whatever they do."""
        for each in list(self.running):
            each.task.cancel()
            await asyncio.wait([each.task])
