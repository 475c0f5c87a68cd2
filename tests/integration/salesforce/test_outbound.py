"""Outbound messages of a sandbox org, on their way into a log."""

import asyncio
import signal
import sqlite3
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import SecretStr

from streamer.app.ingest.ingesting import Ingesting
from streamer.app.observers import Observers
from streamer.clock import SystemClock, TurnedClock
from streamer.errors import ConfigurationError
from streamer.log.memory import MemoryLog
from streamer.observe.metrics import Metrics
from streamer.salesforce.auth.flows import Logins
from streamer.sandbox import OrgSetup, OutboundLimits, OutboundMessage, Sandbox, SandboxSettings
from streamer.sandbox.certificates import certificates
from streamer.settings import (
    OutboundMessageSettings,
    OutboundSettings,
    OutboundTlsSettings,
    Settings,
)
from streamer.supervision.status import Status
from tests.keys import certificate_pem
from tests.outbound import MESSAGES, ORG, PATH, SECRET, Receiver, receiving
from tests.streaming import org_at
from tests.waiting import until
from tools.ports import free_ports

_FIELDS = ("LastName", "Company")


@asynccontextmanager
async def org(clock: Any = None, **limits: Any) -> AsyncIterator[Sandbox]:
    """Return an org with the id that the receiver expects."""
    settings = SandboxSettings(org=OrgSetup(org_id=ORG), outbound=OutboundLimits(**limits))
    async with Sandbox(clock or SystemClock(), settings=settings) as sandbox:
        yield sandbox


def define(sandbox: Sandbox, url: str, **more: Any) -> None:
    """Send leads to `url`."""
    sandbox.outbound.define("leads", OutboundMessage(object="Lead", fields=_FIELDS, url=url, **more))


def create(sandbox: Sandbox, name: str) -> str:
    """Create a lead."""
    with sandbox.org.transaction() as transaction:
        return transaction.create("Lead", {"LastName": name, "Company": "Acme"})


async def acknowledged(sandbox: Sandbox, count: int) -> None:
    """Wait until so many notifications are acknowledged."""

    async def are() -> bool:
        return sandbox.outbound.queues["leads"].acknowledged >= count

    await until(are)


def url(receiver: Receiver) -> str:
    """Return the address of the endpoint."""
    return f"{receiver.scheme}://localhost:{receiver.port}{PATH}"


def kept(file: Path) -> list[str]:
    """Return the last names of the events in a log file."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT body FROM events ORDER BY seq").fetchall()
    return [orjson.loads(body)["data"]["fields"]["LastName"] for (body,) in rows]


@asynccontextmanager
async def process(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Receive outbound messages in a process of its own."""
    module = "tests.integration.salesforce.outbound_process"
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert started.stdout is not None
        assert await started.stdout.readline()
        yield started
    finally:
        if started.returncode is None:
            started.kill()
            await started.wait()


async def test_kill_between_commit_and_acknowledgement_brings_it_again_once(tmp_path: Path) -> None:
    """SIGKILL right after the commit: Salesforce repeats the notification, and it stays one event."""
    (port,) = free_ports(1)
    file, clock = tmp_path / "log.db", TurnedClock()
    async with org(clock) as sandbox:
        define(sandbox, f"http://localhost:{port}{PATH}")
        async with process(str(file), str(port), "kill") as killed:

            async def is_over() -> bool:
                # Another program with this port on another address of the machine refuses the first try.
                await clock.turn(5)
                return killed.returncode is not None

            create(sandbox, "first")
            await until(is_over)
            assert killed.returncode == -signal.SIGKILL
        assert kept(file) == ["first"]
        queue = sandbox.outbound.queues["leads"]

        async def is_repeated() -> bool:
            await clock.turn(5)
            return queue.acknowledged == 1

        assert (queue.acknowledged, len(queue.waiting)) == (0, 1)
        async with process(str(file), str(port)):
            await until(is_repeated)
            create(sandbox, "second")
            await acknowledged(sandbox, 2)

    assert kept(file) == ["first", "second"]


async def test_lost_answers_and_repeats_are_one_event() -> None:
    """Faults of the org's side, one after the other."""
    log = MemoryLog()
    async with org(first_retry_s=0.05) as sandbox, receiving(log) as receiver:
        define(sandbox, url(receiver), send_session=True)
        faults: list[tuple[str, dict[str, Any]]] = [
            ("lose_outbound_answer", {"times": 2}),
            ("repeat_outbound", {}),
            ("repeat_outbound", {"at_once": True}),
            ("wrong_outbound_org", {}),
        ]
        for number, (name, parameters) in enumerate(faults, 1):
            sandbox.faults.arm(name, parameters)
            create(sandbox, name)
            await acknowledged(sandbox, number)

        assert receiver.count("wrong_organization") == 1
    assert [event.data["fields"]["LastName"] for event in log.events] == [name for name, _ in faults]


async def test_client_certificate_is_demanded_and_its_name_is_looked_at(tmp_path: Path) -> None:
    """The org presents one; another client of the same authority is refused."""
    server, client = certificates(tmp_path, ()), certificate_pem(tmp_path)

    def settings(subject: str) -> OutboundSettings:
        tls = OutboundTlsSettings(
            certificate_file=server.server,
            key_file=server.server,
            client_ca_file=client,
            client_subject=subject,
        )
        messages = {"leads": OutboundMessageSettings(secret=SecretStr(SECRET))}
        return OutboundSettings(host="localhost", port=0, tls=tls, messages=messages)

    context = ssl.create_default_context(cafile=server.authority)
    context.load_cert_chain(client)
    log = MemoryLog()
    async with org(tls=context) as sandbox:
        async with receiving(log, settings=settings("localhost")) as receiver:
            define(sandbox, url(receiver))
            create(sandbox, "first")
            await acknowledged(sandbox, 1)
        async with receiving(log, settings=settings("elsewhere")) as receiver:
            define(sandbox, url(receiver))
            create(sandbox, "second")

            async def is_refused() -> bool:
                return receiver.count("refused_client") == 1

            await until(is_refused)

    assert len(log.events) == 1


async def test_daemon_reads_them_beside_its_channels() -> None:
    """The composition root: the login says which org they must be of."""
    clock, log = SystemClock(), MemoryLog()
    (port,) = free_ports(1)
    async with org() as sandbox:
        settings = Settings(
            org=org_at(sandbox.url),
            outbound=OutboundSettings(host="localhost", port=port, messages=MESSAGES),
            channels=(),
        )
        status = Status()
        ingesting = Ingesting(
            settings=settings,
            clock=clock,
            observers=Observers(metrics=Metrics(clock=clock)),
            status=status,
            logins=Logins(clock),
        )
        reading = asyncio.create_task(ingesting.run(log))  # type: ignore[arg-type] # it needs no condition here
        try:
            define(sandbox, f"http://localhost:{port}{PATH}")
            create(sandbox, "first")

            async def is_read() -> bool:
                return "/outbound/leads" in status.reading.subscribed

            await until(is_read)
            create(sandbox, "second")

            async def is_taken() -> bool:
                return any(event.data["fields"]["LastName"] == "second" for event in log.events)

            await until(is_taken)
            assert status.reading.problems() == []
        finally:
            reading.cancel()
            await asyncio.wait([reading])


async def test_address_in_use_is_told_before_the_login() -> None:
    """With the key of the configuration."""
    async with receiving(MemoryLog()) as receiver:
        clock = SystemClock()
        settings = Settings(
            org=org_at("http://localhost:1"),
            outbound=OutboundSettings(host="localhost", port=receiver.port, messages=MESSAGES),
            channels=(),
        )
        ingesting = Ingesting(
            settings=settings,
            clock=clock,
            observers=Observers(metrics=Metrics(clock=clock)),
            status=Status(),
            logins=Logins(clock),
        )
        with pytest.raises(
            ConfigurationError, match=r"outbound: .* is already in use; choose another outbound\.port"
        ):
            await ingesting.run(MemoryLog())  # type: ignore[arg-type] # as above
