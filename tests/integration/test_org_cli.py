"""The commands `streamer org …` against a sandbox."""

import asyncio
import json
import os
import pty
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from streamer.cli import app
from streamer.clock import TurnedClock
from streamer.sandbox import OrgSetup, Sandbox, SandboxSettings, User, parse_schema
from tests import commands
from tests.configuration import sandbox_configuration, written
from tests.waiting import awaited

SCHEMA = {
    "channels": {
        "ChangeEvents": {"Account": [], "Opportunity": []},
        "Erp__chn": {"Account": ["Name"]},
    }
}
SALES = {"uses": "slack", "on": "salesforce.cdc.Opportunity.updated", "text": "{{ subject }}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """An org, and the configuration of a daemon that reads it."""

    sandbox: Sandbox
    config: Path

    async def __call__(self, *arguments: str, status: int = 0) -> Result:
        """Call `streamer org` in this process; it has no terminal."""
        words = ["org", *arguments, "-c", str(self.config)]
        answer = await asyncio.to_thread(CliRunner().invoke, app, words)
        assert answer.exit_code == status, answer.output
        return answer

    async def selected(self) -> list[str]:
        """Return what is selected for which channel, as the list has it in JSON."""
        listed = json.loads((await self("cdc", "list", "--json")).stdout)["selected"]
        return [f"{each['channel']} {each['entity']}" for each in listed]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """An org with a selection, and a configuration that lacks the secret of a target."""
    sales = {**SALES, "settings": {"webhook_url": "${NOT_SET_IN_THIS_TEST}"}}
    settings = SandboxSettings(org=OrgSetup(schema=parse_schema(SCHEMA)))
    async with Sandbox(TurnedClock(), settings=settings) as sandbox:
        configuration = sandbox_configuration(
            sandbox.url, log={"sqlite": {"path": str(tmp_path / "log.db")}}, subscribers={"sales": sales}
        )
        yield Desk(sandbox=sandbox, config=written(tmp_path, configuration))


async def test_selection_is_listed(desk: Desk) -> None:
    """With channel and enriched fields, and beside the allocation."""
    shown = (await desk("cdc", "list")).stdout
    assert [line.split() for line in shown.splitlines()[:2]] == [
        ["ENTITY", "CHANNEL", "FILTER", "ENRICHED"],
        ["Account", "ChangeEvents"],
    ]
    told = "2 entities are selected on all channels together; an org without an add-on can select 5 entities."
    assert told in shown
    assert await desk.selected() == ["ChangeEvents Account", "ChangeEvents Opportunity", "Erp__chn Account"]


async def test_plan_is_shown_and_nothing_is_changed_without_an_answer(desk: Desk) -> None:
    """Nobody is there to say yes: an error says what to do."""
    refused = await desk("cdc", "enable", "Lead", "Account", status=2)
    assert "Account is already selected for ChangeEvents." in refused.stdout
    assert "Afterwards 3 entities are selected" in refused.stdout
    assert "add --yes" in refused.stderr
    await desk("cdc", "enable", "Lead", "--dry-run")
    assert "ChangeEvents Lead" not in await desk.selected()


async def test_entity_is_enabled_and_disabled(desk: Desk) -> None:
    """Twice, without an error."""
    made = await desk("cdc", "enable", "Lead", "--yes")
    assert "made: select Lead for ChangeEvents" in made.stdout
    again = await desk("cdc", "enable", "Lead", "--yes")
    assert again.stdout == "Lead is already selected for ChangeEvents.\n"
    await desk("cdc", "disable", "Lead", "--yes")
    assert (await desk("cdc", "disable", "Lead")).stdout == "Lead is not selected for ChangeEvents.\n"


async def test_loss_is_told_before_an_entity_is_disabled(desk: Desk) -> None:
    """With the channel that reads it, and the subscribers that take it."""
    shown = (await desk("cdc", "disable", "Opportunity", "Account", "--dry-run")).stdout
    assert "/data/ChangeEvents, which the configuration reads" in shown
    assert "events of Account, Opportunity no longer arrive" in shown
    assert "sales takes events of Opportunity" in shown
    assert "Account stays selected on Erp__chn" in shown


async def test_partial_failure_is_told_exactly(desk: Desk) -> None:
    """Each change with its outcome, and Salesforce's words."""
    failed = await desk("cdc", "enable", "Lead", "Nope", "Case", "--yes", status=1)
    assert "made: select Lead" in failed.stdout
    assert "made: select Case" in failed.stdout
    assert "streamer: 2 of 3 changes were made:" in failed.stderr
    assert "not made: can't select Nope for ChangeEvents" in failed.stderr
    assert "NopeChangeEvent" in failed.stderr


async def test_missing_permission_is_named(desk: Desk) -> None:
    """With what to do about it."""
    username = desk.sandbox.org.settings.username
    desk.sandbox.users.put(User.model_validate({"username": username, "setup": "view"}))
    failed = await desk("cdc", "enable", "Lead", "--yes", status=1)
    assert "the permission Customize Application" in failed.stderr


async def test_more_than_the_allocation_is_warned_of(desk: Desk) -> None:
    """The org could have an add-on, so it is tried all the same."""
    failed = await desk("cdc", "enable", "Lead", "Case", "Order", "Task", "--yes", status=1)
    assert "Without an add-on, Salesforce refuses more than 5 entities." in failed.stdout
    assert "streamer: 3 of 4 changes were made:" in failed.stderr
    assert "the org has reached a limit" in failed.stderr


async def test_custom_channel_is_made_filled_and_deleted(desk: Desk) -> None:
    """Each step once more changes nothing."""
    steps = [
        ("create", "Orders__chn", "--type", "event", "--label", "Orders"),
        ("add", "Orders__chn", "Order_Placed__e", "--filter", "Amount__c > 10"),
        ("add", "Erp__chn", "Opportunity", "--enrich", "Name", "--enrich", "StageName"),
        ("remove", "/data/Erp__chn", "Account"),
        ("delete", "Orders__chn"),
    ]
    for step in steps:
        assert "made: " in (await desk("channels", *step, "--yes")).stdout
        if step[0] != "delete":
            assert "made: " not in (await desk("channels", *step)).stdout
    (left,) = json.loads((await desk("channels", "list", "--json")).stdout)["channels"]
    assert (left["path"], left["members"]) == (
        "/data/Erp__chn",
        [{"entity": "Opportunity", "filter": None, "enriched": ["Name", "StageName"]}],
    )
    assert "There is no channel Orders__chn." in (await desk("channels", "delete", "Orders__chn")).stdout


async def test_deletion_tells_what_goes_with_the_channel(desk: Desk) -> None:
    """And that the configuration reads it."""
    text = desk.config.read_text().replace("/data/ChangeEvents", "/data/Erp__chn")
    desk.config.write_text(text)
    shown = (await desk("channels", "delete", "Erp__chn", "--dry-run")).stdout
    assert "Deleting the channel Erp__chn also removes its members: Account." in shown
    assert "Warning: the change deletes /data/Erp__chn" in shown


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        (("cdc", "enable", "Order_Placed__e"), 2, "is a platform event"),
        (("cdc", "enable", "a b"), 2, "is not the name of an entity"),
        (("channels", "create", "Erp"), 2, "is not the name of a custom channel"),
        (
            ("channels", "create", "Erp__chn", "--type", "event"),
            1,
            "type data, and the type of a channel can't be changed",
        ),
        (("channels", "add", "Nope__chn", "Account"), 1, "There is no channel Nope__chn"),
        (("channels", "delete", "ChangeEvents"), 2, "always exists"),
    ],
)
async def test_mistake_is_a_sentence(
    desk: Desk, arguments: tuple[str, ...], status: int, reason: str
) -> None:
    """Before anything is asked."""
    assert reason in (await desk(*arguments, status=status)).stderr


async def test_configuration_without_an_org_is_a_mistake(desk: Desk) -> None:
    """Its other sections don't count."""
    desk.config.write_text("channels: nonsense")
    assert "org: is missing" in (await desk("cdc", "list", status=2)).stderr
    desk.config.write_text(f"org: {{login_url: '{desk.sandbox.url}', auth: {{flow: none}}}}")
    assert "org.auth.flow" in (await desk("cdc", "list", status=2)).stderr


async def test_names_are_completed(desk: Desk) -> None:
    """By asking the org."""
    for words, found in (
        (["cdc", "disable", "Ac"], "Account"),
        (["channels", "delete", "E"], "Erp__chn"),
        (["channels", "remove", "Erp__chn", ""], "Account"),
    ):
        line = f"streamer org {' '.join(words[:1])} {words[1]} -c {desk.config} {' '.join(words[2:])}"
        environ = {
            "_STREAMER_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(line.split(" ")) - 1),
        }
        answer = await asyncio.to_thread(CliRunner().invoke, app, [], prog_name="streamer", env=environ)
        assert found in answer.stdout.split(), (line, answer.output)


async def test_terminal_is_asked(desk: Desk) -> None:
    """No leaves the org as it is, and yes changes it."""
    for typed, has_lead in ((b"n\n", False), (b"y\n", True)):
        controller, terminal = pty.openpty()
        os.write(controller, typed)
        process = await commands.start(
            *("org", "cdc", "enable", "Lead", "-c", str(desk.config)),
            stdin=terminal, stdout=PIPE, stderr=PIPE, environ={"NO_COLOR": "1"},
        )  # fmt: skip
        output, _ = await awaited(process.communicate())
        os.close(controller)
        os.close(terminal)
        assert b"Make 1 change? [y/N]" in output
        assert ("ChangeEvents Lead" in await desk.selected()) is has_lead
