"""No secret appears anywhere, even if targets, orgs and collectors repeat their requests."""

import asyncio
import zipfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from streamer.sandbox.auth.connected_app import ConnectedApp
from streamer.sandbox.server import SandboxSettings
from tests.acceptance.echoes.canaries import CONFIGURED, GIVEN, shown_in
from tests.acceptance.echoes.servers import EchoOrg, EchoTarget, pubsub_echo, serving
from tests.acceptance.echoes.subscribers import subscribers
from tests.acceptance.echoes.topics import content_of_topics
from tests.acceptance.kept import Kept, KeptInKafka
from tests.configuration import ORDER_KEY, sandbox_configuration, written
from tests.daemon import Daemon
from tests.operating import Operator, admin_url
from tests.outbound import envelope, notification
from tests.waiting import until

_PAGES = (
    "/support",
    "/dead-letters?last=100",
    "/subscribers",
    "/parked",
    "/continuity",
    "/checkpoints",
    "/console/",
    "/console/dead-letters",
    "/console/parked",
    "/console/channels",
    "/console/audit",
    "/console/subscribers/rest",
    "/console/configuration",
)
_COMMANDS = (
    *(("subscribers", "test", name, "--json") for name in ("rest", "apex", "record", "basic", "mqtt")),
    ("subscribers", "list", "--json"),
    ("deadletters", "list", "--json"),
    ("parked", "list", "--json"),
    ("checkpoint", "list", "--json"),
    ("continuity", "list", "--json"),
    ("audit", "--json"),
    ("events", "find", "--json"),
)
_OF_CONFIGURATION = (
    ("doctor", "--timeout", "5", "--json"),
    ("run", "--print"),
    ("check",),
    ("flow",),
    ("org", "cdc", "list"),
    ("reconcile", "Account", "--since", "2h"),
    ("publish", "Order_Placed__e", "--retry-for", "0"),
    ("publish", "Order_Placed__e", "--retry-for", "0", "--transport", "rest"),
)
# Topics of a log in Kafka that hold a record at the end.
_TOPICS = {
    *("checkpoints", "dead-letters", "continuity", "control", "audit", "receipts"),
    *("parked.parked", "forwarded.follower", "event.Order_Placed__e", "outbound.Lead"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """An org behind a server that repeats requests, a target that does, and the configuration of a daemon."""

    sandbox: Sandbox
    org: EchoOrg
    target: EchoTarget
    kept: Kept
    config: Path

    @property
    def secrets(self) -> dict[str, str]:
        """Every secret in use, by a name of it."""
        tokens = {f"token {number}": token for number, token in enumerate(self.org.tokens) if token}
        return {**CONFIGURED, **GIVEN, **tokens}


@pytest.fixture
async def world(kept: Kept, tmp_path: Path) -> AsyncIterator[World]:
    """All parts, running."""
    app = SandboxSettings(app=ConnectedApp(client_secret=CONFIGURED["ORG_SECRET"]))
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(Sandbox(SystemClock(), settings=app))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        org, target = EchoOrg(sandbox.url, http), EchoTarget()
        for server in (org, target):
            await stack.enter_async_context(serving(server))
        pubsub = await stack.enter_async_context(pubsub_echo())
        config = written(tmp_path, _configuration(kept, org, target, pubsub))
        yield World(sandbox=sandbox, org=org, target=target, kept=kept, config=config)


def _configuration(kept: Kept, org: EchoOrg, target: EchoTarget, pubsub: str) -> dict[str, Any]:
    collector = {"endpoint": target.url, "headers": {"X-Token": "${COLLECTOR}"}, "timeout_s": 1}
    configuration = sandbox_configuration(
        org.url,
        log=kept.configuration,
        subscribers=subscribers(target),
        outbound={"host": "localhost", "port": 0, "messages": {"leads": {"secret": "${OUTBOUND}"}}},
        tracing={"ratio": 1, "otlp": collector},
        grace_period_s=1,
    )
    configuration["org"]["auth"]["client_secret"] = "${ORG_SECRET}"
    configuration["org"] |= {"client_name": "echoes", "pubsub": {"endpoint": pubsub}}
    configuration["channels"].append({"path": "/event/Refused__e", "transport": "pubsub"})
    configuration["observe"]["log_level"] = "debug"
    configuration["admin"]["token"] = "${ADMIN_TOKEN}"
    return configuration


@pytest.mark.timeout(600)
async def test_echo_is_in_no_record_span_file_page_answer_or_line(world: World) -> None:
    """Every plugin, the org, the commands and pages of an operator, the log, traces and the endpoint."""
    async with Daemon.running(world.config, environ=CONFIGURED) as daemon:
        await daemon.started()
        world.sandbox.org.publish_platform_event("Order_Placed__e", {ORDER_KEY: "1"})
        world.sandbox.org.publish_overflow("Account")
        places = {"endpoint": await _sent_to_endpoint(daemon, world.sandbox.org.settings.org_id)}
        await until(lambda: _all_failed(world, daemon))
        operator = await Operator.of(daemon, **CONFIGURED, STREAMER_ADMIN_TOKEN=CONFIGURED["ADMIN_TOKEN"])
        places["orders"] = await _ordered(operator)
        places["commands"] = await _commands(operator, world.config)
        places |= await _bundle(operator, world.config)
        places["pages"] = await _pages(daemon, *_PAGES)
        places["metrics"] = (await daemon.metrics_page()).encode()
        world.org.refuses_all = True
        world.sandbox.tokens.revoke_all()
        await until(lambda: _has_lost_the_org(daemon))
        places["readiness"] = orjson.dumps(await daemon.probe("readyz"))
        await daemon.stop()
    places |= {"output": daemon.output.encode(), "spans": b"".join(world.target.spans)}
    places |= _log(world)

    echoing = {name for name, content in places.items() if b"ECHO" in content}
    assert {"orders", "commands", "pages", "output", *_echoing_parts_of_the_log(world)} <= echoing
    assert b"attempt rest" in places["spans"]
    assert shown_in(places, world.secrets) == set()


async def _all_failed(world: World, daemon: Daemon) -> bool:
    """Return true when every target has refused the event, and one has it parked."""
    letters = orjson.loads(await _pages(daemon, "/dead-letters?last=100"))["letters"]
    refused = subscribers(world.target).keys() - {"kafka", "mqtt", "answered", "parked"}
    parked = await world.kept.parked("parked")
    return (
        bool(parked) and len(world.target.spans) > 3 and refused <= {each["subscriber"] for each in letters}
    )


async def _has_lost_the_org(daemon: Daemon) -> bool:
    status, _ = await daemon.probe("readyz")
    return status != 200 and bool(daemon.logged("session.lost"))


async def _listens(daemon: Daemon) -> bool:
    return bool(daemon.logged("outbound.listening"))


async def _sent_to_endpoint(daemon: Daemon, org: str) -> bytes:
    """Send what Salesforce, a stranger and a broken sender would, and return the answers whole."""
    await until(lambda: _listens(daemon))
    port = daemon.logged("outbound.listening")[0]["port"]
    address = f"/outbound/leads/{CONFIGURED['OUTBOUND']}"
    session = GIVEN["SESSION"]
    whole = envelope(notification(1), org=org, session=session)
    sent: list[tuple[str, str, bytes | BytesIO]] = [
        ("POST", address, whole),
        ("POST", address, whole[:-20]),
        ("POST", address, session.encode()),
        ("POST", address, envelope(notification(2), org="00D000000000002AAA", session=session)),
        ("POST", address, BytesIO(b"x" * 5_000_000)),
        ("POST", f"/outbound/{CONFIGURED['OUTBOUND']}/leads", whole),
        ("POST", f"{address}x", whole),
        ("PUT", address, whole),
        ("GET", address, b""),
        ("GET", "/outbound/leads", b""),
    ]
    said = []
    async with aiohttp.ClientSession(f"http://localhost:{port}") as http:

        async def is_read() -> bool:
            async with http.get("/outbound/leads") as answer:
                return answer.status == 204

        await until(is_read)
        for method, path, body in sent:
            async with http.request(method, path, data=body, headers={"SOAPAction": session}) as answer:
                said.append(f"{answer.status} {answer.headers} {await answer.text()}")
    assert "Ack>true" in said[0]
    return "\n".join(said).encode() + await _torn_request(port, address)


async def _torn_request(port: int, address: str) -> bytes:
    reader, writer = await asyncio.open_connection("localhost", port)
    writer.write(f"POST {address} HTTP/7\r\nX: {GIVEN['SESSION']}\r\n\r\n".encode())
    try:
        return await reader.read()
    finally:
        writer.close()


async def _ordered(operator: Operator) -> bytes:
    """Give orders that the audit records; the operator pastes a secret into a reason."""
    orders = (
        (
            "subscribers",
            "pause",
            "slack",
            "--reason",
            f"ECHO {CONFIGURED['HEADER']}",
            "--by",
            CONFIGURED["BASIC"],
        ),
        ("snapshot", "start", "Account", "--yes"),
        ("deadletters", "redrive", "-s", "bearer", "--yes", "--error", CONFIGURED["HEADER"]),
        ("deadletters", "redrive", "-s", "header", "--yes", "--no-wait"),
    )
    said = [await operator.call(*order) for order in orders]
    return "\n".join(each.output + each.error for each in said).encode()


async def _commands(operator: Operator, config: Path) -> bytes:
    """Return what the commands say."""
    of_daemon = [operator.call(*call) for call in _COMMANDS]
    others = [operator.call(*call, "-c", str(config), typed="{}\n") for call in _OF_CONFIGURATION]
    said = await asyncio.gather(*of_daemon, *others)
    return "\n".join(each.output + each.error for each in said).encode()


async def _bundle(operator: Operator, config: Path) -> dict[str, bytes]:
    archive = config.parent / "bundle.zip"
    said = await operator.call("support-bundle", "-c", str(config), "-o", str(archive))
    assert said.status == 0, said.error
    with zipfile.ZipFile(archive) as files:
        return {f"bundle {name}": files.read(name) for name in files.namelist()}


async def _pages(daemon: Daemon, *paths: str) -> bytes:
    headers = {"Authorization": f"Bearer {CONFIGURED['ADMIN_TOKEN']}"}
    said = []
    async with aiohttp.ClientSession(await admin_url(daemon), headers=headers) as http:
        for path in paths:
            async with http.get(path) as response:
                assert response.status == 200, path
                said.append(await response.read())
    return b"\n".join(said)


def _log(world: World) -> Mapping[str, bytes]:
    """Return what lies in the log: its files, or each of its topics."""
    if isinstance(world.kept, KeptInKafka):
        content = content_of_topics(world.kept.configuration["kafka"])
        assert {name for name, each in content.items() if each} >= _TOPICS
        return content
    return {"file": b"".join(path.read_bytes() for path in world.config.parent.glob("log.db*"))}


def _echoing_parts_of_the_log(world: World) -> set[str]:
    if isinstance(world.kept, KeptInKafka):
        return {"dead-letters", "receipts", "forwarded.follower", "parked.parked", "audit"}
    return {"file"}
