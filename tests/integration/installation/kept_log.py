"""Logs that released versions wrote, and the org and the target in which a daemon continues them.

`python -m tests.integration.installation.kept_log` writes the log of this version
into `kept/`. Each release keeps its log, and each later version must continue it.
"""

import asyncio
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson

from streamer import DISTRIBUTION
from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from streamer.sandbox.targets import ErpReceiver
from tests.configuration import ORDER_KEY, sandbox_configuration, written
from tests.daemon import Daemon
from tests.operating import Operator
from tests.waiting import until

KEPT = Path(__file__).with_name("kept")
REASON = "stocktaking"
NUMBER = "Number__c"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order that the org announces; `key` is what the events are ordered by."""

    number: int
    key: str

    @property
    def uuid(self) -> str:
        """The id of the order's event, the same in each org."""
        return f"00000000-0000-4000-8000-{self.number:012d}"


# The kept logs hold these orders, so a change would break them.
DELIVERED = tuple(Order(number=number, key=key) for number, key in enumerate("ABCD", start=1))
REFUSED = (Order(number=5, key="C"),)
PARKED = (Order(number=6, key="B"), Order(number=7, key="B"))
WAITING = (Order(number=8, key="D"),)
ALL = DELIVERED + REFUSED + PARKED + WAITING


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """An org, an ERP that gets an invoice for each order, and the folder of the daemon's files."""

    sandbox: Sandbox
    erp: ErpReceiver
    folder: Path

    @classmethod
    @asynccontextmanager
    async def of(cls, folder: Path) -> AsyncIterator["World"]:
        """Run the org and the ERP."""
        clock = SystemClock()
        async with Sandbox(clock) as sandbox, ErpReceiver(clock) as erp:
            yield cls(sandbox=sandbox, erp=erp, folder=folder)

    @property
    def log(self) -> Path:
        """The daemon's log."""
        return self.folder / "log.db"

    @property
    def archive(self) -> Path:
        """The file of the second subscriber, which reads the log from its beginning."""
        return self.folder / "archive.jsonl"

    @property
    def invoiced(self) -> list[int]:
        """The numbers of the orders that the ERP accepted."""
        return [entry.body["number"] for entry in self.erp.journal if entry.accepted]

    @property
    def archived(self) -> list[str]:
        """The ids of the events that the second subscriber has got."""
        lines = self.archive.read_bytes().splitlines() if self.archive.exists() else []
        return [orjson.loads(line)["id"] for line in lines]

    def place(self, orders: Iterable[Order]) -> None:
        """Announce `orders`."""
        for each in orders:
            fields = {ORDER_KEY: each.key, NUMBER: each.number}
            self.sandbox.org.publish_platform_event("Order_Placed__e", fields, event_uuid=each.uuid)

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Return the records of a table of the log."""
        if not self.log.exists():
            return []
        with closing(sqlite3.connect(f"file:{self.log}?mode=ro", uri=True)) as connection:
            found = connection.execute(f"SELECT body FROM {table}").fetchall()  # noqa: S608 - names of ours
        return [orjson.loads(body) for (body,) in found]

    def configuration(self, *, archives: bool) -> Path:
        """Write the daemon's configuration, with the second subscriber if it `archives`."""
        orders = {"on": "salesforce.event.Order_Placed__e", "start": "earliest"}
        invoice = {
            **orders,
            "uses": "erp",
            "receipts": True,
            "retry": {"fast_tries": 0},
            "guard": {"minimum": 1_000},
            "breaker": {"failure_ratio": 1, "minimum": 10_000, "window": 10_000},
            "body": {"order": f"data.fields.{ORDER_KEY}", "number": f"data.fields.{NUMBER}"},
            "settings": {"url": f"{self.erp.url}/api/invoices", "external_id": "id"},
        }
        archive = {**orders, "uses": "file", "settings": {"path": str(self.archive)}}
        # A kept log is as old as its release.
        log = {"sqlite": {"path": str(self.log), "retention_h": 1_000_000}}
        subscribers = {"invoice": invoice, **({"archive": archive} if archives else {})}
        settings = sandbox_configuration(self.sandbox.url, log=log, subscribers=subscribers)
        return written(self.folder, settings)


async def write(world: World) -> None:
    """Let a daemon write a log with everything that can wait in it."""
    async with Daemon.running(world.configuration(archives=False)) as daemon:
        await daemon.ready()
        operator = await Operator.of(daemon)
        world.place(DELIVERED)
        await until(lambda: len(world.rows("receipts")) == len(DELIVERED))
        world.erp.faults.fail_keys, world.erp.faults.fail_status = ".", 422
        world.place(REFUSED)
        await operator.dead_letters(len(REFUSED))
        world.erp.faults.fail_status = 502
        world.place(PARKED)
        await until(lambda: operator.parked(1))
        paused = await operator.call("subscribers", "pause", "invoice", "--reason", REASON)
        assert paused.status == 0, paused.error
        world.place(WAITING)
        await until(lambda: len(world.rows("events")) == len(ALL))
        assert await daemon.stop() == 0


async def main() -> None:
    """Write the log of this version."""
    with tempfile.TemporaryDirectory() as scratch:
        async with World.of(Path(scratch)) as world:
            await write(world)
            with closing(sqlite3.connect(world.log)) as connection:
                connection.execute("VACUUM")
                # The file alone is kept, without a write-ahead log beside it.
                connection.execute("PRAGMA journal_mode = DELETE")
            KEPT.mkdir(exist_ok=True)
            shutil.copy(world.log, KEPT / f"{version(DISTRIBUTION)}.db")


if __name__ == "__main__":
    asyncio.run(main())
