"""One daemon with hostile servers and clients, and the work that it must still do."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from tests.acceptance.fuzz.frames import FrameConnection
from tests.acceptance.fuzz.gate import Gate, Play
from tests.acceptance.fuzz.hostile_org import HostileAnswer, HostileEventBus, HostileOrg
from tests.acceptance.fuzz.watch import held_mb, settled
from tests.configuration import CHANGES, ORDERS, sandbox_configuration, written
from tests.daemon import Daemon
from tests.outbound import SECRET
from tests.pubsub_server import order
from tests.waiting import until

_GIVEN_S = 100.0
_GOOD_S = 150.0
_AGAIN_S = 5.0
_SETTLED_S = 30.0
_OUTCOMES = ("configuration.refused", "configuration.applied")
_CONNECT = r"^POST /cometd/.*/meta/connect"


@dataclass(kw_only=True)
class Besieged:
    """A daemon, and the servers, clients and files around it."""

    directory: Path
    clock: SystemClock
    sandbox: Sandbox
    org: HostileOrg
    bus: HostileEventBus
    gate: Gate
    target: HostileOrg
    daemon: Daemon
    config: Path
    account: str
    http: aiohttp.ClientSession
    ports: dict[str, int] = field(default_factory=dict)
    fresh_mb: float = 0.0
    number: int = 0

    @classmethod
    @asynccontextmanager
    async def running(cls, directory: Path) -> AsyncIterator["Besieged"]:
        """Start all of it."""
        clock = SystemClock()
        async with AsyncExitStack() as stack:
            sandbox = await stack.enter_async_context(Sandbox(clock))
            with sandbox.org.transaction() as transaction:
                account = transaction.create("Account", {"Name": "good"})
            org = await stack.enter_async_context(HostileOrg.running(sandbox))
            target = await stack.enter_async_context(HostileOrg.running(sandbox))
            bus = HostileEventBus()
            await bus.start()
            stack.push_async_callback(bus.stop)
            gate = await stack.enter_async_context(Gate.before(bus.port))
            config = written(directory, _configuration(directory, org, gate, target))
            daemon = await stack.enter_async_context(Daemon.running(config, reads_nonsense=True))
            http = await stack.enter_async_context(aiohttp.ClientSession())
            besieged = cls(
                directory=directory,
                clock=clock,
                sandbox=sandbox,
                org=org,
                bus=bus,
                gate=gate,
                target=target,
                daemon=daemon,
                config=config,
                account=account,
                http=http,
            )
            await daemon.ready()
            for name in ("observe", "admin", "outbound"):
                besieged.ports[name] = daemon.logged(f"{name}.listening")[0]["port"]
            await besieged.carries()
            besieged.fresh_mb = held_mb(daemon.pid)
            yield besieged

    def change(self, **fields: Any) -> None:
        """Update the account in the org."""
        self.number += 1
        with self.sandbox.org.transaction() as transaction:
            transaction.update("Account", self.account, fields or {"Name": f"good {self.number}"})

    def publish(self, **payload: Any) -> None:
        """Publish an event of the account with any fields, as the org would."""
        self.number += 1
        header = {
            "entityName": "Account",
            "recordIds": [self.account],
            "changeType": "UPDATE",
            "transactionKey": f"hostile-{self.number}",
            "sequenceNumber": 1,
            "commitTimestamp": round(self.clock.now() * 1000),
            "commitNumber": self.number,
            "changedFields": list(payload),
        }
        data = {"schema": "s", "payload": {"ChangeEventHeader": header, **payload}}
        self.sandbox.bus.publish([CHANGES], data)

    async def follow(self, path: str, **more: Any) -> bytes:
        """Read an answer that goes on until the task is cancelled or the daemon ends it."""
        url = f"http://localhost:{self.ports['admin']}/{path}"
        read = b""
        with suppress(aiohttp.ClientError, OSError):
            async with self.http.get(url, timeout=aiohttp.ClientTimeout(total=None), **more) as response:
                async for chunk in response.content.iter_any():
                    read = (read + chunk)[-1000:]
        return read

    async def carries(self) -> None:
        """Wait until good events of both transports are in the log."""
        self.change()
        marks = [f"good {self.number}"]
        self.bus.publish(order(self.number, at=self.clock.now()))
        seen = self._highest()

        async def arrived() -> bool:
            assert self.daemon.runs, self.daemon.output[-3_000:]
            bodies = [orjson.loads(body)["data"]["fields"] for body in self._since(seen)]
            names = {each.get("Name") for each in bodies}
            return marks[0] in names and any(each.get("N__c") == self.number for each in bodies)

        await until(arrived, limit_s=_GOOD_S, every_s=0.2)

    async def connect_answers(self, body: Any, **more: Any) -> None:
        """Let the next CometD connect be answered by `body`, a function of what is asked."""
        await self.org_answers(HostileAnswer(to=_CONNECT, body=body, **more), then=self.change)

    async def org_answers(self, answer: HostileAnswer, *, then: Any) -> None:
        """Let the org answer so, make the daemon ask by `then`, and wait until it is done with the answer."""
        given = self.org.given
        self.org.answers.append(answer)

        async def was_given() -> bool:
            assert self.daemon.runs, self.daemon.output[-3_000:]
            return self.org.given > given

        then()
        with suppress(AssertionError):
            await until(was_given, limit_s=_AGAIN_S, every_s=0.05)
        if self.org.given == given:
            # The daemon's request still followed from an answer to its former one.
            then()
        await until(was_given, limit_s=_GIVEN_S, every_s=0.05)
        await self.settled()

    async def bus_plays(self, play: Play) -> None:
        """Let the next connection to the Pub/Sub API go so, and wait until the daemon is done with it."""
        played = self.gate.played

        async def play_and_stay(connection: FrameConnection) -> None:
            await play(connection)
            # The client needs time for what it has not read yet.
            await self.settled()

        self.gate.play(play_and_stay)

        async def was_played() -> bool:
            assert self.daemon.runs, self.daemon.output[-3_000:]
            return self.gate.played > played

        await until(was_played, limit_s=_GIVEN_S, every_s=0.05)
        await self.settled()

    async def settled(self) -> None:
        """Wait until the daemon has nothing to do, or has worked for half a minute."""
        await settled(self.daemon.pid, within_s=_SETTLED_S)

    async def reloads(self, text: str) -> str:
        """Let the daemon read this configuration; return the event of its log that says what came of it."""

        def outcomes() -> list[str]:
            return [each for name in _OUTCOMES for each in [name] * len(self.daemon.logged(name))]

        before = outcomes()
        self.config.write_text(text, encoding="utf-8")
        self.daemon.hang_up()

        async def has_read() -> bool:
            assert self.daemon.runs, self.daemon.output[-3_000:]
            return len(outcomes()) > len(before)

        await until(has_read, limit_s=_GIVEN_S, every_s=0.2)
        return next(name for name in _OUTCOMES if outcomes().count(name) > before.count(name))

    async def ask(self, port: str, method: str, path: str, **more: Any) -> int:
        """Return the status of a request, 0 where the daemon refuses to answer."""
        with suppress(aiohttp.ClientError, TimeoutError, OSError):
            timeout = aiohttp.ClientTimeout(total=60)
            url = f"http://localhost:{self.ports[port]}/{path}"
            async with self.http.request(method, url, timeout=timeout, **more) as response:
                await response.content.read(100_000)
                return response.status
        return 0

    def _highest(self) -> int:
        with closing(self._log()) as log:
            return int(log.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0])

    def _since(self, seq: int) -> list[bytes]:
        with closing(self._log()) as log:
            rows = log.execute(
                "SELECT body FROM events WHERE seq > ? AND length(body) < 10000", (seq,)
            ).fetchall()
            return [row[0] for row in rows]

    def _log(self) -> sqlite3.Connection:
        return sqlite3.connect(f"file:{self.directory / 'log.db'}?mode=ro", uri=True)


def _configuration(directory: Path, org: HostileOrg, gate: Gate, target: HostileOrg) -> dict[str, Any]:
    subscriber = {
        "uses": "erp",
        "on": "salesforce.event.*",
        "start": "earliest",
        "body": {"order": "data.fields.N__c"},
        "retry": {"first_delay_s": 0.1, "max_delay_s": 0.1, "give_up_after_s": 1},
        "deliver_timeout_s": 20,
        "settings": {
            "url": f"{target.url}/api",
            "external_id": "id",
            "max_hold_s": 1,
            "answer": "any",
            "auth": {"kind": "api_key", "key": "a-key-of-the-target"},
        },
    }
    configuration = sandbox_configuration(
        org.url,
        log={"sqlite": {"path": str(directory / "log.db")}},
        subscribers={"erp": subscriber},
        outbound={"host": "localhost", "port": 0, "messages": {"leads": {"secret": SECRET}}},
        grace_period_s=5,
    )
    configuration["org"]["pubsub"] = {"endpoint": f"http://127.0.0.1:{gate.port}"}
    configuration["channels"] = [
        {"path": CHANGES, "start": "earliest", "transport": "cometd"},
        {"path": ORDERS, "start": "earliest", "transport": "pubsub"},
    ]
    return configuration
