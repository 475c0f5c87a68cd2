"""An org on a turned clock, its ingest, and the log."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from streamer.app.ingest.positions import PositionOrders
from streamer.app.ingest.repairing import Repairing
from streamer.app.ingest.snapshots import SnapshotOrders
from streamer.clock import TurnedClock
from streamer.controls import AuditRecord, Place, PositionOrder, SnapshotOrder
from streamer.errors import Fenced, RetryLater
from streamer.events import Channel, ContinuityRecord, Event, HoleCause, OrgId, Repair, Start
from streamer.ingest.positions import Positioning
from streamer.ingest.positions.start import ChannelStart
from streamer.ingest.reading import MessageReader
from streamer.ingest.reading.quarantine import Quarantine
from streamer.ingest.reading.rereading import Rereading
from streamer.ingest.relay import Ingest
from streamer.log.continuity import last_states
from streamer.log.memory import MemoryLog
from streamer.normalise import normaliser_for
from streamer.observe.metrics import Metrics
from streamer.salesforce.auth.tokens import Tokens
from streamer.salesforce.records import RestRecords
from streamer.salesforce.rest import Rest
from streamer.sandbox import BulkLimits, OrgSettings, Sandbox, SandboxSettings, parse_schema
from streamer.settings import Transport
from tests.acceptance.replica.replica import difference, replica_of, state_of
from tests.streaming import CHANGES, Losses, org_at, source_over

SCHEMA = {
    "objects": {"Account": {"fields": {"Note__c": {"type": "string", "length": 200}}}},
    "channels": {"ChangeEvents": {"Account": [], "Contact": []}},
}
TRANSACTION_CHANGES = 8
_TURN_S = 5.0
_MOST_TURNS = 600
_VERSION = "64.0"


@dataclass(kw_only=True)
class World:
    """The org, the daemon that reads it while `task` runs, and the log, which outlives the daemon."""

    clock: TurnedClock
    sandbox: Sandbox
    transport: Transport
    start_at: ChannelStart = Start.EARLIEST
    log: MemoryLog = field(default_factory=MemoryLog)
    task: asyncio.Task[None] | None = None
    positions_ordered: list[PositionOrder] = field(default_factory=list)

    def start(self) -> None:
        """Start the daemon."""
        self.task = asyncio.create_task(self._run(), name="daemon")

    async def kill(self) -> None:
        """End the daemon wherever it is."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])
            self.task = None

    @property
    def holes(self) -> list[ContinuityRecord]:
        """Last states of the continuity records."""
        return list(last_states(self.log.continuity, lambda _: True))

    async def order(self, entity: str) -> None:
        """Order a snapshot."""
        now = self.clock.now()
        order = SnapshotOrder(id=SnapshotOrder.new_id(), channel=CHANGES, entity=entity, by="history", at=now)
        audit = AuditRecord(at=now, what="snapshot.ordered", by="history")
        await self.log.controls.order_snapshot(order, audit)

    async def order_position(self, place: Place, *, since: float | None, repeat: bool) -> None:
        """Order another position."""
        order = PositionOrder(
            id=PositionOrder.new_id(),
            channel=CHANGES,
            place=place,
            since=since,
            repeat=repeat,
            by="history",
            at=self.clock.now(),
        )
        self.positions_ordered.append(order)
        audit = AuditRecord(at=order.at, what="position.ordered", by="history")
        await self.log.controls.order_position(order, audit)

    @property
    def verified_at(self) -> float | None:
        """Last moment at which nothing was missing."""
        return min((each.verified_at for each in self.log.checkpoints.values()), default=None)

    @property
    def is_done(self) -> bool:
        """True while no hole is open, and everything that was ordered has ended."""
        board = self.log.controls._board
        return not (board.snapshots or board.positions) and not any(
            each.state is Repair.OPEN for each in self.holes
        )

    def check_positions(self) -> None:
        """Check that each order was carried out, and that no event was repeated unless one says so."""
        told = Counter(each.id for each in self.log.continuity if each.cause is HoleCause.POSITION_SET)
        assert told.keys() == {each.id for each in self.positions_ordered}
        if not any(each.repeat for each in self.positions_ordered):
            # What is read from the org, a repair can publish again after a kill.
            streamed = Counter(each.id for each in self.log.events if "snapshot" not in each.data)
            assert [name for name, times in streamed.items() if times > 1] == []

    @property
    def difference(self) -> str:
        """What the replica and the org differ in now."""
        return difference(replica_of(self.log.events), state_of(self.sandbox))

    async def settle(self) -> None:
        """Turn the clock until the replica equals the org and no hole is open; fail when it never does."""
        for _ in range(_MOST_TURNS):
            if not self.difference and self.is_done:
                return
            assert self.task is not None
            assert not self.task.done(), self.task
            await self.turn(_TURN_S)
        holes = "\n".join(map(str, self.holes))
        raise AssertionError(f"the replica does not become the org:\n{self.difference}\n{holes}")

    async def turn(self, seconds: float) -> None:
        """Let time pass, and the network do its work."""
        await self.clock.turn(seconds)
        await asyncio.sleep(0.001)

    async def _run(self) -> None:
        async with AsyncExitStack() as stack:
            http = await stack.enter_async_context(aiohttp.ClientSession())
            tokens = Tokens(http, org_at(self.sandbox.url), self.clock)
            rest = Rest(http, tokens, self.clock, api_version=_VERSION)
            source = source_over(self.transport, self.sandbox, tokens, self.clock, Losses())
            source = await stack.enter_async_context(source)
            channel = Channel(org=OrgId(self.sandbox.org.settings.org_id), path=CHANGES)
            snapshots = SnapshotOrders(controls=self.log.controls, clock=self.clock)
            repairing = Repairing(
                log=self.log,
                snapshots=snapshots,
                rest=rest,
                records=RestRecords(rest),
                api_version=_VERSION,
                clock=self.clock,
                # Both ways of reading, and several pages, whatever the few records of a history.
                bulk_from=6,
                page_rows=3,
            )
            positions = PositionOrders(controls=self.log.controls, log=self.log, clock=self.clock)
            for orders in (snapshots, positions):
                following = asyncio.create_task(orders.run(), name="orders")
                stack.callback(following.cancel)
            while True:
                rereading = Rereading(channel=channel, records=repairing.records, clock=self.clock)
                ingest = Ingest(
                    channel=channel,
                    source=source,
                    log=self.log,
                    messages=MessageReader(
                        channel=channel,
                        normalise=normaliser_for(channel),
                        quarantine=Quarantine(clock=self.clock),
                    ),
                    positioning=Positioning(
                        channel=channel,
                        clock=self.clock,
                        start=self.start_at,
                        on_refused="repair",
                        orders=positions.of(channel),
                    ),
                    clock=self.clock,
                    observer=Metrics(clock=self.clock).channel(channel),
                    repairs=repairing.of(channel, rereading, repairs_gaps=True),
                )
                try:
                    await ingest.run()
                except (RetryLater, Fenced):
                    await self.clock.sleep(1)


@asynccontextmanager
async def org_world(transport: Transport) -> AsyncIterator[World]:
    """Serve an empty org, and run its daemon."""
    async with unread_org(transport) as world:
        world.start()
        # Before its first checkpoint, nothing can be known to be missing.
        with world.sandbox.org.transaction() as transaction:
            transaction.create("Account", {"Name": "Acme"})
        await world.settle()
        yield world


@asynccontextmanager
async def unread_org(transport: Transport, start: ChannelStart = Start.EARLIEST) -> AsyncIterator[World]:
    """Serve an empty org, whose daemon is not started yet."""
    clock = TurnedClock()
    settings = SandboxSettings(
        org=OrgSettings(schema=parse_schema(SCHEMA), transaction_limit=TRANSACTION_CHANGES),
        bulk=BulkLimits(queued_s=2, running_s=5),
    )
    async with Sandbox(clock, pubsub_port=0, settings=settings) as sandbox:
        world = World(clock=clock, sandbox=sandbox, transport=transport, start_at=start)
        try:
            yield world
        finally:
            await world.kill()


def told(events: list[Event]) -> str:
    """Return what the log holds, a line for each event."""
    return "\n".join(f"{each.type} {each.key} {each.data['fields']}" for each in events)
