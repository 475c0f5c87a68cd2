"""`streamer reconcile`, beside a daemon that reads an org which loses changes silently."""

import asyncio
import json
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from streamer.app.ingest.orders import OperatorOrders, SnapshotOrders
from streamer.app.ingest.repairing import Repairing, carried_entities, readers_of
from streamer.clock import SystemClock, TurnedClock
from streamer.controls import AuditRecord, SnapshotOrder
from streamer.events import Channel, OrgId, Start
from streamer.ingest.positions import Positioning
from streamer.ingest.reading import MessageReader
from streamer.ingest.reading.quarantine import Quarantine
from streamer.ingest.reading.rereading import Rereading
from streamer.ingest.relay import ChannelLog, Ingest
from streamer.log.sqlite import SqliteLog
from streamer.normalise import normaliser_for
from streamer.normalise.malformed import as_event_time
from streamer.observe.metrics import Metrics
from streamer.salesforce.auth.tokens import Tokens
from streamer.salesforce.rest import Rest
from streamer.sandbox import OrgSetup, Sandbox, SandboxSettings, parse_schema
from streamer.settings import SqliteLogSettings, Transport
from tests import commands
from tests.configuration import sandbox_configuration, written
from tests.streaming import CHANGES, Losses, org_at, source_over
from tests.waiting import until

SCHEMA: dict[str, Any] = {"channels": {"ChangeEvents": {"Account": [], "Contact": []}}}
_AGO_S = 2.5 * 3_600.0
_STEP_S = 10.0
_ANSWERED_S = 150.0


@dataclass(kw_only=True)
class Desk:
    """An org of some hours ago, a daemon that reads it into a file, and its configuration."""

    clock: TurnedClock
    sandbox: Sandbox
    log: SqliteLog
    config: Path
    began_at: float = field(init=False)

    def __post_init__(self) -> None:
        """Remember when it began."""
        self.began_at = self.clock.now()

    def create(self, count: int = 1) -> list[str]:
        """Create accounts."""
        with self.sandbox.org.transaction() as transaction:
            return [transaction.create("Account", {"Name": f"Acme {n}"}) for n in range(count)]

    def change(self, *, update: tuple[str, ...] = (), delete: tuple[str, ...] = ()) -> None:
        """Update and delete accounts."""
        with self.sandbox.org.transaction() as transaction:
            for each in update:
                transaction.update("Account", each, {"Name": f"Berg {self.clock.now()}"})
            for each in delete:
                transaction.delete("Account", each)

    def restore(self, record_id: str) -> None:
        """Restore an account."""
        with self.sandbox.org.transaction() as transaction:
            transaction.undelete("Account", record_id)

    async def turn(self, minutes: float) -> None:
        """Let time pass, and the daemon read."""
        end = self.clock.now() + minutes * 60
        while self.clock.now() < end:
            await self.clock.turn(min(_STEP_S, end - self.clock.now()))
            await asyncio.sleep(0.002)

    async def catch_up(self) -> None:
        """Let it become now, when the daemon has read everything for a long time."""
        await self.turn((SystemClock().now() - self.clock.now()) / 60)
        await self.read()

    async def read(self) -> None:
        """Let the daemon read all that there is: the network does not follow the clock."""
        channel = Channel(org=OrgId(self.sandbox.org.settings.org_id), path=CHANGES)

        async def is_read() -> bool:
            checkpoint = await self.log.checkpoint(channel)
            return bool(checkpoint and checkpoint.verified_at > self.clock.now() - _ANSWERED_S)

        await until(is_read, between=lambda: self.turn(0.1))

    async def repair(self) -> None:
        """Order what `--repair` orders, and let the daemon carry it out."""
        order = SnapshotOrder(
            id=SnapshotOrder.new_id(),
            channel=CHANGES,
            entity="Account",
            since=self.began_at - 60,
            by="anna",
            at=self.clock.now(),
        )
        audit = AuditRecord(at=order.at, what="snapshot.ordered", by=order.by)
        await self.log.controls.order_snapshot(order, audit)

        async def has_ended() -> bool:
            return (await self.log.controls.audit(last=1))[0].what == "snapshot.ended"

        await until(has_ended, between=lambda: self.turn(0.1))
        assert (await self.log.controls.audit(last=1))[0].detail["state"] == "full"

    async def __call__(self, *arguments: str, status: int = 0) -> str:
        """Run `streamer reconcile` in a process of its own, and return what it prints."""
        since = as_event_time(datetime.fromtimestamp(self.began_at - 60, UTC))
        words = ["reconcile", "account", "--since", since, "-c", str(self.config), *arguments]
        process = await commands.start(*words, stdout=PIPE, stderr=PIPE)
        output, errors = await process.communicate()
        assert process.returncode == status, (output, errors)
        return output.decode()

    async def drift(self, status: int) -> list[tuple[str, str]]:
        """Return the kinds and the records of the differences."""
        found = json.loads(await self("--json", status=status))
        assert found["notes"] == []
        return sorted((each["kind"], each["record_id"]) for each in found["drift"])


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """A daemon that reads over CometD, as it does in `streamer run`, on a turned clock."""
    clock = TurnedClock(SystemClock().now() - _AGO_S)
    settings = SandboxSettings(org=OrgSetup(schema=parse_schema(SCHEMA)))
    file = SqliteLogSettings(path=tmp_path / "log.db")
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(Sandbox(clock, settings=settings))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        log = await stack.enter_async_context(SqliteLog.open(file, clock))
        tokens = Tokens(http, org_at(sandbox.url), clock)
        source = source_over(Transport.COMETD, sandbox, tokens, clock, Losses())
        await stack.enter_async_context(source)
        channel = Channel(org=OrgId(sandbox.org.settings.org_id), path=CHANGES)
        orders = SnapshotOrders(controls=log.controls, clock=clock)
        rest = Rest(http, tokens, clock, api_version="64.0")
        repairing = Repairing(
            org=readers_of(rest, clock),
            entities=partial(carried_entities, rest),
            clock=clock,
            log=log,
            orders=OperatorOrders(snapshots=orders),
        )
        rereading = Rereading(channel=channel, records=repairing.org.records, clock=clock)
        ingest = Ingest(
            source=source,
            log=ChannelLog(
                channel=channel, log=log, clock=clock, observer=Metrics(clock=clock).channel(channel)
            ),
            messages=MessageReader(
                channel=channel, normalise=normaliser_for(channel), quarantine=Quarantine(clock=clock)
            ),
            positioning=Positioning(channel=channel, clock=clock, start=Start.EARLIEST),
            repairs=repairing.of(channel, rereading, repairs_gaps=True),
        )
        daemon = asyncio.create_task(ingest.run(), name="daemon")
        following = asyncio.create_task(orders.run(), name="orders")
        configuration = sandbox_configuration(sandbox.url, log={"sqlite": {"path": str(file.path)}})
        yield Desk(clock=clock, sandbox=sandbox, log=log, config=written(tmp_path, configuration))
        assert not daemon.done(), daemon
        daemon.cancel()
        following.cancel()
        await asyncio.wait([daemon, following])


async def test_drift_is_what_was_lost_silently(desk: Desk) -> None:
    """Without a loss it finds nothing; after one it finds exactly the changes that no event reports."""
    kept, updated, deleted, restored, touched = desk.create(5)
    await desk.turn(10)
    desk.change(update=(kept, updated), delete=(restored,))
    await desk.turn(20)
    desk.restore(restored)
    gone = desk.create()[0]
    await desk.turn(10)
    desk.change(update=(touched,), delete=(gone, restored))
    await desk.turn(40)
    await desk.read()
    assert json.loads(await desk("--json", "--until", "100m"))["counts"] == {}

    desk.sandbox.faults.lose_changes("Account", times=4)
    created = desk.create()[0]
    desk.change(update=(updated,), delete=(deleted,))
    desk.restore(restored)
    await desk.turn(10)
    desk.change(update=(kept,))
    await desk.catch_up()
    assert await desk.drift(1) == [
        ("deletion_missing", deleted),
        *sorted(("missing", each) for each in (created, updated, restored)),
    ]
    shown = await desk(status=1)
    assert "Differences shown: 4. By kind: missing 3, deletion_missing 1" in shown
    assert "\x1b" not in shown

    await desk.repair()
    assert await desk.drift(0) == []


async def test_repaired_org_has_no_drift(desk: Desk) -> None:
    """A change of the record that is told afterwards brings what was lost."""
    lost, told = desk.create(2)
    await desk.turn(10)
    desk.sandbox.faults.lose_changes("Account", times=1)
    desk.change(update=(lost,))
    await desk.turn(30)
    desk.change(update=(lost, told))
    await desk.catch_up()
    assert await desk.drift(0) == []
