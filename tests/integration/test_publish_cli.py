"""`streamer publish` against the sandbox, as an operator types it."""

import signal
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from streamer.clock import SystemClock
from streamer.sandbox import OrgSetup, Sandbox, SandboxSettings, parse_schema
from tests import commands
from tests.commands import AnyProcess
from tests.configuration import over_pubsub, sandbox_configuration, written
from tests.waiting import awaited, until

EVENT = "Order_Placed__e"
SCHEMA = {"events": {EVENT: {"fields": {"No__c": "double", "Note__c": {"type": "string", "length": 9}}}}}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """End of a command."""

    status: int
    out: str
    err: str


@dataclass(frozen=True, kw_only=True)
class World:
    """A sandbox, and a configuration for it whose other parts have a mistake."""

    sandbox: Sandbox
    config: Path

    @property
    def numbers(self) -> list[float]:
        """Return the numbers of the events that were published."""
        messages = self.sandbox.bus.after(f"/event/{EVENT}", 0)
        return [orjson.loads(each.data)["payload"]["No__c"] for each in messages]

    @property
    def ids(self) -> list[str]:
        """Return their ids."""
        messages = self.sandbox.bus.after(f"/event/{EVENT}", 0)
        return [orjson.loads(each.data)["event"]["EventUuid"] for each in messages]

    async def begin(self, *arguments: str) -> AnyProcess:
        """Start the command."""
        return await commands.start(
            *("publish", EVENT, "-c", str(self.config), *arguments),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            environ={"NO_COLOR": "1"},
        )

    async def publish(self, *arguments: str, given: str = "") -> Answer:
        """Run the command with `given` as its input."""
        process = await self.begin(*arguments)
        out, err = await awaited(process.communicate(given.encode()))
        return Answer(status=process.returncode or 0, out=out.decode(), err=err.decode())


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """An org with a declared event."""
    settings = SandboxSettings(org=OrgSetup(schema=parse_schema(SCHEMA)))
    async with Sandbox(SystemClock(), pubsub_port=0, settings=settings) as sandbox:
        whole: dict[str, Any] = over_pubsub(
            sandbox_configuration(sandbox.url, log={}), sandbox.pubsub_address
        )
        # The operator's environment can lack the daemon's other secrets.
        whole["admin"] = {"token": "${NOWHERE_SET}"}
        yield World(sandbox=sandbox, config=written(tmp_path, whole))


def lines(*numbers: object) -> str:
    """Return the lines of an input."""
    return "".join(f'{{"No__c": {number}}}\n' for number in numbers)


@pytest.mark.parametrize("transport", ["pubsub", "rest"])
async def test_every_line_is_published_or_named(world: World, transport: str) -> None:
    """With its line and the reason; the status tells scripts."""
    given = lines(1, 2) + '{"No__c": }\n' + '{"Note__c": "much too long"}\n' + lines(3)
    answer = await world.publish("--transport", transport, given=given)

    assert answer.status == 1
    assert answer.out == f"3 events published to {EVENT}, 2 refused.\n"
    malformed, refused = answer.err.splitlines()
    assert malformed == "line 3: is not JSON: expecting value at column 11"
    assert refused.startswith("line 4: Salesforce refused the event: ")
    assert world.numbers == [1, 2, 3]


async def test_list_in_a_file_is_published_with_json_results(world: World, tmp_path: Path) -> None:
    """A line for each event; faults that pass are retried with the same ids."""
    file = tmp_path / "orders.json"
    file.write_text(orjson.dumps([{"No__c": number} for number in range(450)]).decode())
    world.sandbox.faults.arm("unavailable", {"on": ["publish"], "times": 2})
    world.sandbox.faults.arm("expire_session", {"on": ["publish"]})
    answer = await world.publish("--json", str(file))

    assert answer.status == 0
    results = [orjson.loads(line) for line in answer.out.splitlines()]
    assert [result["event_uuid"] for result in results] == world.ids
    assert {result["outcome"] for result in results} == {"published"}
    assert world.numbers == list(range(450))
    assert answer.err.endswith(f"450 events published to {EVENT}.\n")


async def test_interrupt_says_how_to_go_on(world: World) -> None:
    """And the run that goes on gives the events the ids that they would have had."""
    process = await world.begin("--run-id", "nightly")
    assert process.stdin is not None
    process.stdin.write(lines(1, 2).encode())
    await until(lambda: len(world.numbers) >= 2)
    process.send_signal(signal.SIGINT)
    out, err = await awaited(process.communicate())

    assert (process.returncode, out.decode()) == (130, f"2 events published to {EVENT}.\n")
    assert (
        "The command stopped after 2 events of the input. To continue, repeat the command with "
        in err.decode()
    )
    assert "--run-id nightly --skip 2." in err.decode()
    answer = await world.publish("--run-id", "nightly", "--skip", "1", given=lines(1, 2, 3))
    assert answer.status == 0
    assert world.numbers == [1, 2, 2, 3]
    assert world.ids[1] == world.ids[2]


async def test_salesforce_that_stays_away_ends_the_command(world: World) -> None:
    """With what to do, and no claim about what is uncertain."""
    world.sandbox.faults.arm("unavailable", {"on": ["publish"], "times": None})
    answer = await world.publish("--retry-for", "0", "--json", given=lines(1))

    assert answer.status == 1
    assert orjson.loads(answer.out)["outcome"] == "unanswered"
    assert (
        "streamer: /event/Order_Placed__e can't be published (UNAVAILABLE service.unavailable" in answer.err
    )
    assert "gave up after 0 s" in answer.err
    assert "--skip 0" in answer.err
