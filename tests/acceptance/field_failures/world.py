"""An org, a daemon's ingest, its log and a consumer of the log, all on one turned clock."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamer.app.assembly import Log, open_log
from streamer.app.ingest.ingesting import Ingesting
from streamer.app.observers import Observers
from streamer.app.plan import Plan, plan
from streamer.clock import TurnedClock
from streamer.configuration import load_document
from streamer.controls import AuditRecord, ContinuityFilter, SnapshotOrder
from streamer.events import (
    ContinuityRecord,
    DeadLetter,
    Entry,
    Event,
    Repair,
    SettledOffsets,
    Start,
    SubscriberName,
)
from streamer.ingest.reading.message_reader import Protection
from streamer.observe.metrics import Metrics
from streamer.observe.process import Pulses
from streamer.ports import Assigned, Page, Settlement, Subscription
from streamer.sandbox.server import Sandbox
from streamer.settings import Transport
from streamer.supervision.status import Status
from tests.acceptance.sent import sent_by
from tests.configuration import CHANGES, ORDER_KEY, over_pubsub, sandbox_configuration, written
from tests.letters import every_letter
from tests.schemas import all_of
from tests.waiting import turned

HOUR_S = 3600.0
_ALL = 10_000
_STEP_S = 29.0
_CONSUMER = Subscription(subscriber=SubscriberName("consumer"), patterns=("*",), start=Start.EARLIEST)


class ConsumerDied(Exception):
    """The consumer has read as many events as the test allows it."""


@dataclass(kw_only=True)
class World:
    """Everything between an org and a consumer; what the consumer has read is in `events`.

    The daemon's own parts log in, read over `transport` and write a file, as
    `streamer.app` wires them. The consumer settles each event for itself, and
    ends before it settles more than `consumer_lives_for` of them.
    """

    clock: TurnedClock
    sandbox: Sandbox
    transport: Transport
    directory: Path
    more: Mapping[str, Any] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    consumer_lives_for: int | None = None
    metrics: Metrics = field(init=False)
    status: Status = field(default_factory=Status)
    _log: Log | None = None

    def __post_init__(self) -> None:
        """Count what happens."""
        self.metrics = Metrics(clock=self.clock)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["World"]:
        """Run the daemon and the consumer inside the context, from where the log is."""
        checked = self._plan()
        protection = Protection()
        protection.apply(checked.settings.protect, checked.settings.protection)
        self.metrics, self.status = Metrics(clock=self.clock), Status()
        async with open_log(checked.settings, self.clock, Pulses(self.clock)) as self._log:
            self.status.log.opened(self._log)
            self.status.reading.started()
            ingesting = Ingesting(
                settings=checked.settings,
                logins=checked.logins,
                clock=self.clock,
                observers=Observers(metrics=self.metrics),
                status=self.status,
                protection=protection,
            )
            tasks = [
                asyncio.create_task(ingesting.run(self._log), name="ingest"),
                asyncio.create_task(self._consume(self._log), name="consumer"),
            ]
            try:
                yield self
            finally:
                for task in tasks:
                    task.cancel()
                ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError | ConsumerDied) for each in ended), ended
        assert all_of({"type": each.type, "data": each.data} for each in self.events) == []

    async def until(self, condition: Callable[[], object], *, turning: float = 0.2) -> None:
        """Turn the clock a little at a time until `condition` holds."""
        await turned(self.clock, condition, step_s=turning)

    async def read(self, count: int | None = None, *, turning: float = 0.2) -> list[Event]:
        """Wait until the consumer has read so many events, by default as many as the org retains."""
        wanted = len(sent_by(self.sandbox)) if count is None else count
        await self.until(lambda: len(self.events) >= wanted, turning=turning)
        return self.events

    async def settled(self) -> None:
        """Let what comes too much come: several answers to requests without an event, a look-up, a retry."""
        for _ in range(8):
            await self.clock.turn(50)
            await asyncio.sleep(0.005)

    async def pass_quietly(self, seconds: float) -> None:
        """Let so much time pass while nothing happens but the requests of the daemon."""
        end = self.clock.now() + seconds
        while self.clock.now() < end:
            # A session ends 40 s after an answer, and what comes after an answer takes real time.
            await self.until(self._is_asked)
            await self.clock.turn(min(_STEP_S, end - self.clock.now()))

    def _is_asked(self) -> bool:
        if self.transport is Transport.COMETD:
            return self.sandbox.cometd.held > 0
        assert self.sandbox.pubsub is not None
        return self.sandbox.pubsub.streams > 0

    async def records(self) -> Sequence[ContinuityRecord]:
        """Return the last states of the continuity records, oldest first."""
        assert self._log is not None
        found = await self._log.controls.continuity(ContinuityFilter(), last=_ALL)
        return sorted(found, key=lambda each: each.recorded_at)

    async def repaired(self) -> Sequence[ContinuityRecord]:
        """Turn the clock until no hole waits for its repair, and return the records."""

        async def are_repaired() -> bool:
            return all(each.state is not Repair.OPEN for each in await self.records())

        await turned(self.clock, are_repaired, step_s=5, every_s=0.005)
        return await self.records()

    async def letters(self) -> list[DeadLetter]:
        """Return the dead letters."""
        assert self._log is not None
        return await every_letter(self._log.controls)

    def ids(self, path: str) -> list[str]:
        """Return the ids of the events of one channel that the consumer has read, in their order."""
        return [event.id for event in self.events if event.channel == path]

    def order(self, number: int, **fields: Any) -> None:
        """Publish an order."""
        self.sandbox.org.publish_platform_event("Order_Placed__e", {ORDER_KEY: f"A-{number}", **fields})

    def save(self, kind: str = "Account", /, **fields: Any) -> str:
        """Create a record in a transaction of its own, and return its id."""
        with self.sandbox.org.transaction() as transaction:
            return transaction.create(kind, fields)

    def change(self, record_id: str, kind: str = "Account", /, **fields: Any) -> None:
        """Update a record in a transaction of its own."""
        with self.sandbox.org.transaction() as transaction:
            transaction.update(kind, record_id, fields)

    def delete(self, record_id: str) -> None:
        """Delete an account in a transaction of its own."""
        with self.sandbox.org.transaction() as transaction:
            transaction.delete("Account", record_id)

    def restore(self, record_id: str) -> None:
        """Take the deletion of an account back in a transaction of its own."""
        with self.sandbox.org.transaction() as transaction:
            transaction.undelete("Account", record_id)

    async def snapshot(self, entity: str) -> None:
        """Order a snapshot."""
        assert self._log is not None
        now = self.clock.now()
        order = SnapshotOrder(id=SnapshotOrder.new_id(), channel=CHANGES, entity=entity, by="test", at=now)
        await self._log.controls.order_snapshot(
            order, AuditRecord(at=now, what="snapshot.ordered", by="test")
        )

    def readiness(self) -> tuple[bool, str]:
        """Return what the probe of the channels says."""
        result = self.status.reading._readiness()
        return result.ok, result.sentence

    def _plan(self) -> Plan:
        log = {"sqlite": {"path": str(self.directory / "log.db")}}
        configuration = sandbox_configuration(self.sandbox.url, log=log, **self.more)
        if self.transport is Transport.PUBSUB:
            configuration = over_pubsub(configuration, self.sandbox.pubsub_address)
        return plan(load_document([written(self.directory, configuration)], {}), self.clock)

    async def _consume(self, log: Log) -> None:
        """Read the log as subscribers do; an event counts as read once the log has recorded it."""
        assignment = 0
        async with log.follow(_CONSUMER) as feed:
            while True:
                match await feed.read():
                    case Assigned() as assigned:
                        assignment = assigned.assignment
                    case Page(entries=entries):
                        for entry in entries:
                            if self.consumer_lives_for == 0:
                                raise ConsumerDied
                            await feed.settle(_settlement(assignment, entry))
                            self.events.append(entry.event)
                            if self.consumer_lives_for is not None:
                                self.consumer_lives_for -= 1


def _settlement(assignment: int, entry: Entry) -> Settlement:
    return Settlement(
        assignment=assignment, progress={entry.partition: SettledOffsets(next_offset=entry.offset + 1)}
    )
