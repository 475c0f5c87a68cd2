"""The operators' commands as processes, with a daemon in another process."""

import getpass
import json
import re
import signal
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import orjson
import pytest

from streamer.clock import SystemClock
from streamer.events import Channel, Checkpoint, OrgId, ReplayId
from streamer.log.sqlite import SqliteLog
from streamer.sandbox import Sandbox
from streamer.sandbox.targets import FulfillmentReceiver
from streamer.settings import SqliteLogSettings
from tests import commands
from tests.configuration import ORDER_KEY, ORDERS, sandbox_configuration, written
from tests.contracts.values import a_dead_letter
from tests.daemon import Daemon
from tests.messages import order
from tests.operating import Operator
from tests.waiting import awaited, until
from tools.ports import free_ports

TOKEN = "canary-token-of-the-admin-api"


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """An org, a target that refuses every order until it is mended, and the directory of a daemon."""

    sandbox: Sandbox
    target: FulfillmentReceiver
    directory: Path

    @asynccontextmanager
    async def running(
        self, *, shipping: Mapping[str, object] | None = None, **more: object
    ) -> AsyncIterator[Daemon]:
        """Run the daemon inside the context, from its first event on; `shipping` is of its subscriber."""
        order = f"data.fields.{ORDER_KEY}"
        shipment = {
            "uses": "fulfillment",
            "on": "salesforce.event.Order_Placed__e",
            "start": "earliest",
            "settings": {"url": self.target.url, "order": order},
            **(shipping or {}),
        }
        log = {"sqlite": {"path": str(self.directory / "log.db")}}
        spare = shipment | {"on": "salesforce.cdc.*"}
        configuration = sandbox_configuration(
            self.sandbox.url, log=log, subscribers={"shipment": shipment, "spare": spare}, **more
        )
        async with Daemon.running(written(self.directory, configuration)) as daemon:
            await daemon.ready()
            yield daemon

    def place_orders(self, *names: str) -> None:
        """Let orders be placed in the org."""
        for name in names:
            self.sandbox.org.publish_platform_event("Order_Placed__e", {ORDER_KEY: name})

    def mend(self) -> None:
        """Let the target accept orders."""
        self.target.faults.fail_keys = None


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """All parts but the daemon."""
    async with FulfillmentReceiver(SystemClock()) as target, Sandbox(SystemClock()) as sandbox:
        target.faults.fail_keys, target.faults.fail_status = ":shipment$", 422
        yield World(sandbox=sandbox, target=target, directory=tmp_path)


async def test_subscriber_is_paused_resumed_and_tried_out(world: World, tmp_path: Path) -> None:
    """The audit keeps each action under the caller's name."""
    data = tmp_path / "data.json"
    data.write_text(json.dumps({"fields": {ORDER_KEY: "T-1"}}))
    async with world.running() as daemon:
        operator = await Operator.of(daemon)
        paused = await operator.call("subscribers", "pause", "shipment", "--reason", "ERP is [upgraded]")
        listed = (await operator.call("subscribers", "list", "--json")).json["subscribers"]
        shown = (await operator.call("subscribers", "list")).output
        again = await operator.call("subscribers", "pause", "shipment", "--reason", "another")
        refused = await operator.call("subscribers", "test", "shipment", "--data", str(data))
        world.mend()
        accepted = await operator.call("subscribers", "test", "shipment", "--data", str(data), "--json")
        await operator.call("subscribers", "resume", "shipment")
        probed = await operator.call("subscribers", "probe", "shipment")
        records = (await operator.call("audit", "--json")).json["records"]
        audit = (await operator.call("audit")).output

    assert (paused.status, "shipment is paused" in paused.output) == (0, True)
    assert (listed[0]["switch"], listed[0]["by"]) == ("paused", getpass.getuser())
    assert "ERP is [upgraded]" in shown
    assert "LAG" in shown
    assert (again.status, "was already paused" in again.output, "ERP is [upgraded]" in again.output) == (
        0,
        True,
        True,
    )
    assert (probed.status, "Nothing delays deliveries to shipment" in probed.output) == (0, True)
    assert (refused.status, "outcome: reject" in refused.output, "422" in refused.output) == (1, True, True)
    assert (accepted.json["outcome"], list(world.target.shipments)) == ("delivered", ["T-1"])
    what = [
        "subscriber.paused",
        "subscriber.paused",
        "subscriber.tested",
        "subscriber.tested",
        "subscriber.resumed",
        "subscriber.probed",
    ]
    assert [(each["what"], each["by"]) for each in records] == [(each, getpass.getuser()) for each in what]
    assert audit.count("subscriber.tested") == 2


async def test_test_event_without_the_data_that_a_body_needs_says_how_to_give_it_some(world: World) -> None:
    """It is not sent, and the operator has not read of --data yet."""
    settings = {"url": f"{world.target.url}/hook"}
    shipping = {"uses": "webhook", "body": {"order": f"data.fields.{ORDER_KEY}"}, "settings": settings}
    async with world.running(shipping=shipping) as daemon:
        operator = await Operator.of(daemon)
        bare = await operator.call("subscribers", "test", "shipment")

    assert (bare.status, "outcome: skip" in bare.output) == (1, True), bare
    assert "Nothing was sent" in bare.output
    assert "Add fields with --data FILE, such as {" in bare.output


async def test_dead_letters_are_shown_redriven_and_discarded(world: World) -> None:
    """Counts first, and only after a yes."""
    async with world.running() as daemon:
        operator = await Operator.of(daemon)
        world.place_orders("1", "2", "3")
        ids = {each["key"]: each["id"] for each in await operator.dead_letters(3)}
        listed = (await operator.call("deadletters", "list", "-s", "shipment", "--since", "2h")).output
        whole = await operator.call("deadletters", "show", ids["1"])
        world.mend()
        counted = await operator.call("deadletters", "redrive", "--key", "1", "--dry-run")
        declined = await operator.call("deadletters", "redrive", "--key", "1", typed="n\n")
        unasked = await operator.call("deadletters", "redrive", "--key", "1")
        redriven = await operator.call("deadletters", "redrive", "--key", "1", typed="y\n")
        await until(lambda: _holds(world, "1"))
        discarded = await operator.call("deadletters", "discard", ids["2"], "--yes")
        left = await operator.dead_letters(1)
        single = await operator.call("deadletters", "redrive", ids["3"], "--yes")
        await until(lambda: _holds(world, "3"))

    assert "3 of 3 shown: rejected 3" in listed
    assert [id_ for id_ in ids.values() if id_ not in listed.split()] == []
    assert (whole.status, "the target answered 422" in whole.output) == (0, True), whole.error
    assert '"Order_No__c": "1"' in whole.output
    assert "Sent: POST http://" in whole.output
    assert "Answered: status 422; content-type: application/json" in whole.output
    assert (counted.status, "TO DELIVER" in counted.output) == (0, True)
    assert (declined.status, "Deliver 1 event again, 10 per second?" in declined.output) == (1, True)
    assert (unasked.status, "add --yes" in unasked.error, "Aborted" in unasked.error) == (2, True, False)
    assert (redriven.status, "1 event redriven" in redriven.output) == (0, True)
    assert (discarded.status, "1 dead letter removed." in discarded.output) == (0, True)
    assert [each["id"] for each in left] == [ids["3"]]
    assert (single.status, "1 event redriven" in single.output) == (0, True)


async def test_letters_of_ingest_are_read_again(world: World) -> None:
    """An older Streamer has set one aside that this one can read, and one that nothing can."""
    channel = Channel(org=OrgId(world.sandbox.org.settings.org_id), path=ORDERS)
    message = orjson.dumps(order(5, **{ORDER_KEY: "old"}))
    kept = {"old": message, "torn": b"{torn"}
    letters = [
        replace(
            a_dead_letter(name),
            channel=str(channel),
            reason="unreadable",
            raw=raw,
            replay_id=ReplayId(b"5"),
            event=None,
            partition=None,
            offset=None,
        )
        for name, raw in kept.items()
    ]
    async with SqliteLog.open(SqliteLogSettings(path=world.directory / "log.db"), SystemClock()) as log:
        start = Checkpoint(channel=channel, replay_id=None, verified_at=time.time())
        await log.begin(channel).commit(start, set_aside=letters)
    world.mend()
    async with world.running() as daemon:
        operator = await Operator.of(daemon)
        counted = await operator.call("deadletters", "redrive", "--channel", ORDERS, "--dry-run")
        redriven = await operator.call("deadletters", "redrive", "--channel", ORDERS, "--yes")
        await until(lambda: _holds(world, "old"))
        [left] = await operator.dead_letters(1)
        what = [each["what"] for each in (await operator.call("audit", "--json")).json["records"]]

    assert (counted.status, "TO READ" in counted.output) == (0, True)
    assert "after newer events of the same records" in " ".join(counted.output.split())
    assert (redriven.status, "2 events redriven" in redriven.output) == (0, True), redriven.error
    assert "the channel has 1 dead letter: events that still can't be read" in " ".join(
        redriven.output.split()
    )
    assert (left["id"], "The dead letter still can't be read: the message is not JSON" in left["error"]) == (
        "torn",
        True,
    )
    assert what == ["redrive.ordered", "redrive.ended"]


async def test_parked_keys_are_shown(world: World) -> None:
    """With whole keys in a pipe, and after a restart as before it."""
    world.target.faults.fail_status = 503
    shipping = {"retry": {"fast_tries": 0, "first_delay_s": 3600, "max_delay_s": 3600}}
    async with world.running(shipping=shipping) as daemon:
        operator = await Operator.of(daemon)
        nothing = await operator.call("parked", "list")
        world.place_orders("1", "2")
        found = await until(lambda: operator.parked(2))
        listed = (await operator.call("parked", "list", "shipment", "--first", "1")).output
        unknown = await operator.call("parked", "list", "sales")
    async with world.running(shipping=shipping) as daemon:
        operator = await Operator.of(daemon)
        again = await until(lambda: operator.parked(2))

    assert "No parked keys." in nothing.output
    assert "1 of 2 shown: shipment 2" in listed
    assert found[0]["key"] in listed.split()
    assert "the target answered 503 Service Unavailable" in listed
    assert [(each["attempts"], each["state"]) for each in found] == [(1, "waiting")] * 2
    assert again == found
    assert (unknown.status, "configured subscribers: shipment, spare" in unknown.error) == (1, True)


async def test_redrive_is_cancelled(world: World) -> None:
    """Which ends the watching too; until then none of its letters is discarded."""
    async with world.running() as daemon:
        operator = await Operator.of(daemon)
        world.place_orders("1", "2", "3")
        await operator.dead_letters(3)
        world.mend()
        process = await operator.begin("deadletters", "redrive", "--yes", "--per-second", "0.01")
        # Orders of different keys come in the order in which they failed.
        await until(lambda: _has_shipped(world, 1))
        kept = await operator.call("deadletters", "discard", "--yes")
        [redrive] = re.findall("`streamer deadletters cancel (.+)`", kept.error)
        offered = await _offered(operator, f"streamer deadletters cancel {redrive[:3]}")
        cancelled = await operator.call("deadletters", "cancel", redrive, "--by", "anna")
        output, _ = await awaited(process.communicate())
        again = await operator.call("deadletters", "cancel", redrive)
        left = await operator.dead_letters(2)

    assert (kept.status, offered) == (1, ([redrive], ""))
    assert (cancelled.status, "2 dead letters left" in cancelled.output) == (0, True), cancelled.error
    assert (process.returncode, b"cancelled by anna; 2 dead letters left" in output) == (1, True)
    assert (again.status, "`streamer audit`" in again.error) == (1, True)
    assert {each["key"] for each in left} == {"1", "2", "3"} - set(world.target.shipments)


async def test_ctrl_c_ends_the_watching_and_not_the_redrive(world: World) -> None:
    """It says so."""
    async with world.running() as daemon:
        operator = await Operator.of(daemon)
        world.place_orders(*map(str, range(20)))
        await operator.dead_letters(20)
        world.mend()
        process = await operator.begin("deadletters", "redrive", "--yes", "--per-second", "5")
        await until(lambda: _holds(world, "2"))
        process.send_signal(signal.SIGINT)
        output, error = await awaited(process.communicate())
        before = len(world.target.shipments)
        await until(lambda: _holds(world, "19"))

    assert (process.returncode, b"continues in the daemon" in output) == (0, True), error
    assert before < 20


async def test_address_and_token_are_read_from_the_configuration(world: World) -> None:
    """As an operator beside the daemon calls it; without the token nothing is told."""
    [port] = free_ports(1)
    async with world.running(admin={"port": port, "token": TOKEN}) as daemon:
        nobody = await Operator.of(daemon)
        refused = await nobody.call("subscribers", "list")
        shown = await nobody.call("subscribers", "list", "--token", TOKEN, "--json")
        own = await Operator(environ={}).call(
            "subscribers", "list", "-c", str(world.directory / "streamer.yaml"), "--json"
        )
        assert TOKEN not in daemon.output

    assert (refused.status, "STREAMER_ADMIN_TOKEN" in refused.error) == (1, True)
    assert shown.json == own.json


async def test_shell_completes_the_names_of_subscribers(world: World) -> None:
    """Those of the daemon; when it does not answer, nothing is said at all."""
    async with world.running() as daemon:
        operator = await Operator.of(daemon)
        offered = await _offered(operator, "streamer subscribers pause sh")
        option = await _offered(operator, "streamer deadletters list --subscriber s")
    nobody = await _completed(operator, "streamer subscribers pause sh")

    assert offered == (["shipment"], "")
    assert option == (["shipment", "spare"], "")
    assert nobody == ([], "")


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (("subscribers", "list"), 1, "check that the daemon runs"),
        (("subscribers", "list", "--url", "nowhere"), 1, "nowhere can't be reached"),
        (
            ("deadletters", "list", "--since", "yesterday"),
            2,
            "write a duration before now, such as 30m",
        ),
        (("subscribers", "list", "-c", "none.yaml"), 2, "none.yaml: can't be read"),
        (("subscribers", "pause"), 2, "Missing argument"),
    ],
)
async def test_what_goes_wrong_is_told_in_a_sentence(
    arguments: tuple[str, ...], status: int, sentence: str
) -> None:
    """With an exit status that scripts can tell apart."""
    [port] = free_ports(1)
    said = await Operator(environ={"STREAMER_ADMIN_URL": f"http://127.0.0.1:{port}"}).call(*arguments)

    assert (said.status, sentence in " ".join(said.error.split()), "Traceback" in said.error) == (
        status,
        True,
        False,
    ), said.error


async def test_other_service_is_not_taken_for_the_api(world: World) -> None:
    """Such as the port of the metrics; and what the API refuses is told as it says it."""
    async with world.running() as daemon:
        operator = await Operator.of(daemon)
        metrics = f"http://localhost:{daemon.logged('daemon.started')[0]['port']}"
        other = await operator.call("subscribers", "list", "--url", metrics)
        unknown = await operator.call("subscribers", "pause", "ship")

    assert (other.status, "is not Streamer's admin API" in other.error) == (1, True)
    assert (unknown.status, "configured subscribers: shipment, spare" in unknown.error) == (1, True)


async def _has_shipped(world: World, number: int) -> bool:
    return len(world.target.shipments) == number


async def _holds(world: World, order: str) -> bool:
    return order in world.target.shipments


async def _offered(operator: Operator, line: str) -> tuple[list[str], str]:
    """Complete `line` until a busy daemon answers in the moment that a shell waits for it."""

    async def some() -> tuple[list[str], str] | None:
        completed = await _completed(operator, line)
        return completed if completed[0] else None

    found: tuple[list[str], str] = await until(some)
    return found


async def _completed(operator: Operator, line: str) -> tuple[list[str], str]:
    """Return what bash is offered for `line`, and what else is said."""
    environ = {
        **operator.environ,
        "_STREAMER_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split()) - 1),
    }
    process = await commands.start(stdout=PIPE, stderr=PIPE, environ=environ)
    output, error = await process.communicate()
    return output.decode().split(), error.decode()
