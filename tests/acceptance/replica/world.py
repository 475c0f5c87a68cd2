"""An org on a turned clock, its ingest, and the log."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import aiohttp

from streamer.app.ingest.orders import OperatorOrders, PositionOrders, RedriveOrders, SnapshotOrders
from streamer.app.ingest.repairing import Repairing, carried_entities, readers_of
from streamer.clock import TurnedClock
from streamer.continuity.entity_reader import ReadingSizes
from streamer.controls import AuditRecord, ChannelPosition, PositionOrder, SnapshotOrder
from streamer.errors import Fenced, RetryLater
from streamer.events import Channel, ContinuityRecord, OrgId, Repair, ReplayId, Start
from streamer.ingest.positions import Positioning
from streamer.ingest.positions.checkpoints import ChannelStart, Since
from streamer.ingest.reading import MessageReader
from streamer.ingest.reading.large_texts import LargeTexts, TextCache
from streamer.ingest.reading.quarantine import Quarantine
from streamer.ingest.reading.rereading import Rereading
from streamer.ingest.relay import ChannelLog, Ingest
from streamer.log.continuity import last_states
from streamer.log.memory import MemoryLog
from streamer.normalise import normaliser_for
from streamer.observe.metrics import Metrics
from streamer.observe.series import ChannelMetrics
from streamer.quota import JobAllowance, LimitsMonitor
from streamer.salesforce.auth.tokens import Tokens
from streamer.salesforce.rest import Rest
from streamer.sandbox import BulkLimits, OrgSetup, Sandbox, SandboxSettings, parse_schema
from streamer.settings import LargeText, Transport
from tests.acceptance.replica.journal import Journal
from tests.acceptance.replica.judge import Judge
from tests.acceptance.replica.network import Network
from tests.acceptance.replica.org_clock import NetworkClock, OrgClock
from tests.idle_clock import ThreadCalls
from tests.streaming import CHANGES, Losses, org_at, source_over

SCHEMA = {
    "objects": {"Account": {"fields": {"Note__c": {"type": "string", "length": 200}}}},
    "channels": {"ChangeEvents": {"Account": [], "Contact": []}},
}
TRANSACTION_CHANGES = 8
_TURN_S = 5.0
_LONG_TURN_S = 30.0
_MOST_TURNS = 600
_RETAINED_S = 72 * 3600.0
_FIRST_S = 300
_STEPS = 250
_STEP_S = 30.0
_FINE_S = 0.1
_COARSE_S = 3600.0
_VERSION = "64.0"
_TEXT_CACHE_BYTES = 5_000


class Busy(AssertionError):
    """The daemon asks the org again and again."""


class Unsettled(AssertionError):
    """The daemon does not come to an end of what it repairs."""


@dataclass(kw_only=True)
class World:
    """The org, the daemon that reads it while `task` runs, and the log, which outlives the daemon.

    `judge` is there from the first checkpoint on.
    """

    clock: TurnedClock
    org_clock: OrgClock
    sandbox: Sandbox
    journal: Journal
    network: Network
    transport: Transport
    start_at: ChannelStart = Start.EARLIEST
    log: MemoryLog = field(default_factory=MemoryLog)
    task: asyncio.Task[None] | None = None
    positions_ordered: list[PositionOrder] = field(default_factory=list)
    judge: Judge | None = None
    ends_when_busy: bool = True
    repairs_gaps: bool = True
    large_text: LargeText = LargeText.MARK
    _step_s: float = 1.0

    def start(self) -> None:
        """Start the daemon."""
        self.task = asyncio.create_task(self._run(), name="daemon")

    async def kill(self) -> None:
        """End the daemon wherever it is."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])
            self.task = None
        self._look()

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

    async def order_position(
        self,
        place: ChannelPosition,
        *,
        since: float | None = None,
        replay_id: ReplayId | None = None,
        repeat: bool = False,
    ) -> None:
        """Order another position."""
        order = PositionOrder(
            id=PositionOrder.new_id(),
            channel=CHANGES,
            place=place,
            since=since,
            replay_id=replay_id,
            repeat=repeat,
            by="history",
            at=self.clock.now(),
        )
        self.positions_ordered.append(order)
        audit = AuditRecord(at=order.at, what="position.ordered", by="history")
        await self.log.controls.order_position(order, audit)

    @property
    def is_done(self) -> bool:
        """True while no hole is open, and everything that was ordered has ended."""
        board = self.log.controls._board
        return not (board.snapshots or board.positions) and not any(
            each.state is Repair.OPEN for each in self.holes
        )

    def complaints(self) -> dict[str, str]:
        """Return what is wrong by now, by the name of the judgement."""
        found = dict(self.network.complaints)
        if self.judge is not None:
            found |= self.judge.complaints(
                self.log.events, self.holes, self.positions_ordered, self.log.continuity
            )
        return found

    async def settle(self) -> None:
        """Turn the clock until the log tells everything and no hole is open; raise when it never does."""
        self.network.calm()
        for number in range(_MOST_TURNS):
            if self.is_done and self._is_complete():
                return
            assert self.task is not None
            assert not self.task.done(), self.task
            # An org whose requests were used up is asked again within hours.
            await self.turn(_TURN_S if number < _MOST_TURNS // 2 else _LONG_TURN_S)
        raise Unsettled("\n".join(map(str, self.holes)))

    async def turn(self, seconds: float) -> None:
        """Let time pass, and the network do its work."""
        left = seconds
        while left > 0:
            step, asked = min(self._step_s, left), self.network.number
            await self.clock.turn(step)
            await self.network.settled(by_threads=self._is_by_threads)
            self._look()
            left -= step
            # A request that a daemon makes at once must not wait for the clock, or a busy loop
            # would look like patience.
            self._step_s = _FINE_S if self.network.number > asked else min(2 * self._step_s, _COARSE_S)
            if self.ends_when_busy and "busy" in self.network.complaints:
                raise Busy(self.network.complaints["busy"])

    async def delivered(self) -> None:
        """Wait for what the network delivers at once."""
        await self.network.settled(by_threads=self._is_by_threads, pauses=2)

    async def wait(self, seconds: float) -> None:
        """Let much time pass while the daemon does what it does on a quiet day."""
        step = max(_STEP_S, seconds / _STEPS)
        for _ in range(round(seconds / step)):
            await self.turn(step)

    async def until_read(self) -> None:
        """Turn the clock until the log has its first checkpoint."""
        for _ in range(_FIRST_S):
            if self.log.checkpoints:
                return
            await self.turn(1.0)
        raise Unsettled("there is no checkpoint of the channel")

    @property
    def _is_by_threads(self) -> bool:
        return self.transport is Transport.PUBSUB

    def _is_complete(self) -> bool:
        if self.judge is None:
            return False
        events, holes = self.log.events, self.holes
        return not (self.judge.missing(events, holes) or self.judge.silent(events, holes))

    def _look(self) -> None:
        """Name the judge as soon as the log has a checkpoint."""
        if self.judge is not None or not self.log.checkpoints:
            return
        now = self.org_clock.now()
        if isinstance(self.start_at, Since):
            begin = self.start_at.at
        else:
            begin = now - _RETAINED_S if self.start_at is Start.EARLIEST else now
        base = {} if self.start_at == "snapshot" else self.journal.state_at(begin)
        self.judge = Judge(
            journal=self.journal, base=base, complete_from=begin, most_ahead_s=abs(self.org_clock.most_s)
        )

    async def _run(self) -> None:
        async with AsyncExitStack() as stack:
            http = await stack.enter_async_context(aiohttp.ClientSession(middlewares=(self.network,)))
            tokens = Tokens(http, org_at(self.sandbox.url), self.clock)
            rest = Rest(http, tokens, self.clock, api_version=_VERSION)
            source = source_over(self.transport, self.sandbox, tokens, self.clock, Losses())
            source = await stack.enter_async_context(source)
            channel = Channel(org=OrgId(self.sandbox.org.settings.org_id), path=CHANGES)
            metrics = Metrics(clock=self.clock)
            limits = LimitsMonitor(read=rest.limits, clock=self.clock, observer=metrics.org_limits)
            snapshots = SnapshotOrders(controls=self.log.controls, clock=self.clock)
            redrives = RedriveOrders(controls=self.log.controls, clock=self.clock)
            repairing = Repairing(
                org=readers_of(rest, self.clock),
                entities=partial(carried_entities, rest),
                clock=self.clock,
                log=self.log,
                orders=OperatorOrders(snapshots=snapshots, redrives=redrives),
                allowance=JobAllowance(limits=lambda: limits.latest, renew_limits=limits.renew),
                # Both ways of reading, and several pages, whatever the few records of a history.
                sizes=ReadingSizes(bulk_from=6, page_rows=3),
            )
            positions = PositionOrders(controls=self.log.controls, log=self.log, clock=self.clock)
            for side in (limits, snapshots, redrives, positions):
                following = asyncio.create_task(side.run(), name="side task")
                stack.callback(following.cancel)
            while True:
                rereading = Rereading(channel=channel, records=repairing.org.records, clock=self.clock)
                normalise = normaliser_for(channel)
                decoder = repairing.decoder(channel, normalise, lambda letter: letter.raw)
                ingest = Ingest(
                    source=source,
                    log=ChannelLog(
                        channel=channel, log=self.log, clock=self.clock, observer=metrics.channel(channel)
                    ),
                    messages=MessageReader(
                        channel=channel,
                        normalise=normalise,
                        quarantine=Quarantine(clock=self.clock),
                        large_texts=self._large_texts(metrics.channel(channel), rereading),
                    ),
                    positioning=Positioning(
                        channel=channel,
                        clock=self.clock,
                        start=self.start_at,
                        on_refused="repair",
                        orders=positions.of(channel),
                    ),
                    repairs=repairing.of(channel, rereading, repairs_gaps=self.repairs_gaps, decoder=decoder),
                )
                try:
                    await ingest.run()
                except (RetryLater, Fenced):
                    await self.clock.sleep(1)

    def _large_texts(self, observer: ChannelMetrics, rereading: Rereading) -> LargeTexts | None:
        if self.large_text is LargeText.MARK:
            return None
        return LargeTexts(
            cache=TextCache(_TEXT_CACHE_BYTES),
            clock=self.clock,
            observer=observer,
            rereading=rereading if self.large_text is LargeText.REREAD else None,
        )


@asynccontextmanager
async def unread_org(transport: Transport, start: ChannelStart = Start.EARLIEST) -> AsyncIterator[World]:
    """Serve an empty org, whose daemon is not started yet."""
    clock = NetworkClock()
    org_clock = OrgClock(clock=clock)
    settings = SandboxSettings(
        org=OrgSetup(schema=parse_schema(SCHEMA), transaction_limit=TRANSACTION_CHANGES),
        bulk=BulkLimits(queued_s=2, running_s=5),
    )
    thread_calls = ThreadCalls()
    with thread_calls.watched():
        async with Sandbox(org_clock, pubsub_port=0, settings=settings) as sandbox:
            journal = Journal(sandbox=sandbox, clock=org_clock, path=CHANGES)
            journal.begin()
            world = World(
                clock=clock,
                org_clock=org_clock,
                sandbox=sandbox,
                journal=journal,
                network=Network(sandbox=sandbox, clock=clock, thread_calls=thread_calls),
                transport=transport,
                start_at=start,
            )
            clock.delivered = world.delivered
            try:
                yield world
            finally:
                await world.kill()
