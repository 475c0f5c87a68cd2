"""Every command with `--json` prints one object of the documented shape, and nothing else."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs
from typer.testing import CliRunner, Result

from streamer.admin.server import application, gate_of
from streamer.cli import app
from streamer.clock import SystemClock
from streamer.events import EventId, HoleCause, LastChange, Partition, RecordState, Repair
from streamer.sandbox import Sandbox
from streamer.settings import AdminSettings, StateSettings
from tests.configuration import sandbox_configuration
from tests.unit.admin.test_snapshots import ORDER, RECORD, put
from tests.unit.admin.world import World
from tests.unit.dispatch.world import TARGET
from tools.command_reference import JSON_SHAPES, LINES, commands

CHANNEL = "/data/ChangeEvents"
LETTER = "its id"
EVENT_ID = "the id of its event"
RECORD_ID = "001000000000001AAA"
EVENT = {
    "specversion": "1.0",
    "id": "e",
    "source": "/salesforce/00DXX0000000001EAA",
    "type": "salesforce.cdc.Account.updated",
    "subject": "001000000000001AAA",
    "time": "2026-01-31T09:30:00.000Z",
    "data": {"entity": "Account", "fields": {"Name": "Acme"}, "changed_fields": ["Name"]},
}
TESTS = "tests: {one: {event: event.json, expect: {erp: delivered}}}\n"
OF_API: Mapping[str, Sequence[str]] = {
    "problems": (),
    "subscribers list": (),
    "subscribers pause": (TARGET,),
    "subscribers resume": (TARGET,),
    "subscribers probe": (TARGET,),
    "subscribers test": (TARGET,),
    "deadletters list": (),
    "deadletters show": (LETTER,),
    "deadletters redrive": ("--dry-run",),
    "deadletters cancel": ("redrive",),
    "deadletters discard": ("--yes",),
    "events find": (),
    "events show": (EVENT_ID,),
    "parked list": (),
    "checkpoint list": (),
    "checkpoint set": (CHANNEL, "--latest", "--yes", "--wait", "0"),
    "checkpoint reset": (CHANNEL, "--yes", "--wait", "0"),
    "checkpoint cancel": (CHANNEL,),
    "continuity list": (),
    "continuity acknowledge": ("lost", "--reason", "the owners know it"),
    "snapshot start": ("Account", "--yes"),
    "snapshot list": (),
    "snapshot pause": (ORDER.id,),
    "snapshot resume": (ORDER.id,),
    "snapshot cancel": (ORDER.id,),
    "snapshot watch": ("snapshot:0",),
    "audit": (),
    "state get": ("Account", RECORD_ID),
}
OF_ORG: Mapping[str, Sequence[str]] = {
    "org cdc list": (),
    "org cdc enable": ("Lead", "--yes"),
    "org cdc disable": ("Account", "--dry-run"),
    "org channels list": (),
    "org channels create": ("Erp__chn", "--yes"),
    "org channels add": ("ChangeEvents", "Contact", "--dry-run"),
    "org channels remove": ("ChangeEvents", "Account", "--dry-run"),
    "org channels delete": ("Old__chn", "--dry-run"),
}
OF_FILES: Mapping[str, Sequence[str]] = {
    "check": (),
    "flow": (),
    "doctor": ("--only", "configuration"),
    "asyncapi": (),
    "explain": ("event.json",),
    "render": ("erp", "event.json"),
    "test": (),
}
FOUND = frozenset({"problems"})
"""It exits with 1, because the served daemon has something of everything, such as dead letters."""
ELSEWHERE = frozenset({"reconcile"})
"""It needs an org and a log that differ: tests/integration/test_reconcile_cli.py."""


@pytest.fixture(autouse=True)
def quiet_logs() -> Iterator[None]:
    """Keep the lines that the served API logs, in this process, out of what a command prints."""
    with capture_logs():
        yield


async def call(*words: str, **environment: str) -> Result:
    """Call a command in another thread."""
    runner = CliRunner(env={"COLUMNS": "80", "STREAMER_OPERATOR": "ada", **environment})
    return await asyncio.to_thread(runner.invoke, app, words)


def checked(name: str, result: Result) -> dict[str, Any]:
    """Return the object that a command has printed, which has the documented members."""
    assert result.exit_code == (name in FOUND), result.output
    assert "\x1b" not in result.output
    found: dict[str, Any] = json.loads(result.stdout)
    assert tuple(found) == JSON_SHAPES[name]
    return found


def test_every_command_with_json_is_documented_and_tested() -> None:
    """A new one needs a shape and a call here."""
    with_json = {each.name for each in commands() if each.has_json}

    assert with_json == {*JSON_SHAPES, *LINES}
    assert with_json == {*OF_API, *OF_ORG, *OF_FILES, *LINES, *ELSEWHERE}


def test_every_other_command_shows_nothing_that_a_script_reads() -> None:
    """Daemons and the demo log, a schema is JSON by itself, and a bundle is a file."""
    without = {each.name for each in commands() if not each.has_json}
    assert without == {"run", "sandbox", "demo", "schema", "support-bundle"}


def keep_state(world: World) -> None:
    """Let the log keep the state of one account."""
    plan = world.daemon.plan
    settings = plan.settings.model_copy(update={"state": StateSettings(objects=("Account",))})
    world.daemon.plan = replace(plan, settings=settings)
    last = LastChange(
        event_id=EventId("e"),
        time="2026-01-31T09:30:00.000Z",
        partition=Partition("salesforce.cdc.Account", 0),
    )
    state = RecordState(entity="Account", record_id=RECORD_ID, fields={"Name": "Acme"}, last=last)
    world.log.states.begin(["Account"])
    world.log.states.replace([state])


@asynccontextmanager
async def served() -> AsyncIterator[tuple[str, Mapping[str, str]]]:
    """Serve the API of a daemon with something of everything; yields its address, and ids."""
    world = World()
    await world.fail(7)
    lost = replace(RECORD, id="lost", cause=HoleCause.OVERFLOW, state=Repair.NONE)
    world.log.continuity.extend([replace(RECORD, id="snapshot:0", state=Repair.FULL), RECORD, lost])
    await put(world, ORDER)
    keep_state(world)
    async with world.dispatch.running() as dispatcher:
        world.daemon.dispatchers[TARGET] = dispatcher
        with world.context.with_log(world.log):
            gate = gate_of(world.context, AdminSettings())
            async with TestServer(application(world.context, gate)) as server:
                [letter, *_] = world.log.letters
                assert letter.event is not None
                yield str(server.make_url("")), {LETTER: letter.id, EVENT_ID: letter.event.id}


@pytest.mark.parametrize("name", OF_API)
async def test_commands_of_a_daemon(name: str) -> None:
    """As one object, without colours, and for people without colours in a pipe too."""
    async with served() as (url, ids):
        words = [ids.get(each, each) for each in OF_API[name]]
        where = ("--url", url)
        if name == "checkpoint cancel":
            await call("checkpoint", "set", *OF_API["checkpoint set"], *where)
        if name == "deadletters cancel":
            ordered = await call("deadletters", "redrive", "--yes", "--no-wait", "--json", *where)
            words = json.loads(ordered.stdout)["redrives"]
        checked(name, await call(*name.split(), *words, *where, "--json"))


@pytest.mark.parametrize("name", OF_ORG)
async def test_commands_of_an_org(name: str, tmp_path: Path) -> None:
    """Plans have the same shape, whether they are carried out or not."""
    async with Sandbox(SystemClock()) as sandbox:
        path = tmp_path / "streamer.yaml"
        path.write_text(yaml.safe_dump(sandbox_configuration(sandbox.url, log={})))
        if name.endswith("delete"):
            await call("org", "channels", "create", "Old__chn", "--yes", "-c", str(path))
        checked(name, await call(*name.split(), *OF_ORG[name], "-c", str(path), "--json"))


CONFIGURATION = """\
org:
  login_url: https://acme.my.salesforce.com
  auth: {flow: client_credentials, client_id: app, client_secret: sesame}
channels: [/data/ChangeEvents]
log: {kafka: {bootstrap_servers: "localhost:9092"}}
subscribers:
  erp: {uses: erp, on: salesforce.cdc.Account.updated, settings: {url: https://erp.acme.com/api}}
"""


@pytest.mark.parametrize("name", OF_FILES)
async def test_commands_of_files(name: str, tmp_path: Path) -> None:
    """Without any connection."""
    (tmp_path / "streamer.yaml").write_text(CONFIGURATION + TESTS)
    (tmp_path / "event.json").write_text(json.dumps(EVENT))
    words = [str(tmp_path / each) if each.endswith(".json") else each for each in OF_FILES[name]]
    checked(name, await call(name, *words, "-c", str(tmp_path / "streamer.yaml"), "--json"))


async def test_mistake_in_a_configuration_is_json_too(tmp_path: Path) -> None:
    """With the exit status of a mistake."""
    (tmp_path / "streamer.yaml").write_text("org: {}\n")
    result = await call("check", "-c", str(tmp_path / "streamer.yaml"), "--json")
    found = json.loads(result.stdout)

    assert (result.exit_code, found["good"]) == (2, False)
    assert any("login_url" in each for each in found["mistakes"])


LISTS = [name for name in OF_API if name.endswith("list") or name in {*FOUND, "audit", "deadletters show"}]


@pytest.mark.parametrize("name", LISTS)
async def test_colours_are_for_terminals_that_want_them(name: str) -> None:
    """None in a pipe, and none with NO_COLOR."""
    async with served() as (url, ids):
        words = [*name.split(), *(ids.get(each, each) for each in OF_API[name]), "--url", url]
        piped = await call(*words)
        plain = await call(*words, FORCE_COLOR="1", NO_COLOR="1")

    assert (piped.exit_code, plain.exit_code) == ((1, 1) if name in FOUND else (0, 0))
    assert "\x1b" not in piped.output
    assert not re.search(r"\x1b\[[0-9;]*(?:3[0-7]|9[0-7]|38)[;m]", plain.output)
