"""The recipes do what they promise, with the blocks that they show."""

import json
import re
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from typer.testing import CliRunner
from yarl import URL

from streamer.cli import app
from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from tests.in_process import running
from tests.integration.snippets.blocks import ROOT, Block, blocks_of, commands
from tests.integration.snippets.configurations import environment
from tests.integration.snippets.screen import Screen
from tests.integration.snippets.shell import request_of
from tests.integration.snippets.test_quickstart import PORTS
from tests.waiting import until

RECIPES = ROOT / "docs" / "recipes"
WON = "salesforce.cdc.Opportunity.updated"


def shown(page: Path, language: str) -> list[Block]:
    """Return the page's blocks in this language."""
    return [block for block in blocks_of(page) if block.language == language]


def rendered(folder: Path, subscriber: str, configuration: Block, event: Any, *options: str) -> Any:
    """Return the JSON that a subscriber of a recipe sends for an event."""
    (folder / "streamer.yaml").write_text(configuration.text)
    (folder / "event.json").write_text(json.dumps(event))
    arguments = [
        "render",
        subscriber,
        str(folder / "event.json"),
        "-c",
        str(folder / "streamer.yaml"),
        *options,
    ]
    printed = CliRunner(env=environment([folder / "streamer.yaml"])).invoke(app, arguments)
    assert printed.exit_code == 0, printed.output
    return json.loads(printed.stdout.strip().splitlines()[-1])


async def test_won_opportunity_is_printed_as_the_recipe_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page's configuration and requests lead to the line that the page shows."""
    monkeypatch.chdir(tmp_path)
    page = RECIPES / "win-an-opportunity.md"
    (line,) = re.findall(r"shows one line: `(.+?)`", page.read_text())
    files = [tmp_path / "streamer.yaml", tmp_path / "ports.yaml"]
    async with AsyncExitStack() as stack:
        screen = stack.enter_context(Screen(tmp_path / "screen").showing())
        sandbox = await stack.enter_async_context(Sandbox(SystemClock(), pubsub_port=0))
        text = shown(page, "yaml")[0].text.replace("http://localhost:8808", sandbox.url)
        files[0].write_text(text.replace("http://localhost:7443", f"http://{sandbox.pubsub_address}"))
        files[1].write_text(PORTS)
        await stack.enter_async_context(running(*files))
        await send_requests_of(page, sandbox)
        await until(lambda: line in screen.text)

    assert screen.text.count("Won: ") == 1


async def send_requests_of(page: Path, sandbox: Sandbox) -> None:
    """Send the page's requests in their order; the first one logs in."""
    found = [each for each in commands() if each.program == "curl" and each.block.page == name_of(page)]
    token = ""
    async with ClientSession() as http:
        for request in (request_of(each.words[1:]) for each in found):
            url = URL(request.url).with_port(URL(sandbox.url).port)
            form = {} if request.headers else {"Content-Type": "application/x-www-form-urlencoded"}
            headers = form | {name: text.replace("$TOKEN", token) for name, text in request.headers.items()}
            answer = await http.request(request.method, url, data=request.body, headers=headers)
            assert answer.ok, await answer.text()
            token = token or (await answer.json())["access_token"]


def test_card_for_teams_names_the_deal(tmp_path: Path) -> None:
    """The request is a message with an adaptive card, and has nothing of the event around it."""
    page = RECIPES / "post-to-teams.md"
    [configuration], [event] = shown(page, "yaml"), shown(page, "json")
    sent = rendered(tmp_path, "teams", configuration, json.loads(event.text), "--type", WON)
    [attachment] = sent["attachments"]

    assert sent["type"] == "message"
    assert [part["text"] for part in attachment["content"]["body"]] == ["Won: Acme renewal", "Amount: 12500"]


def test_records_have_the_shape_of_the_former_connector(tmp_path: Path) -> None:
    """Each part of the record stands where the migration guide shows it in the former record."""
    former = json.loads(shown(ROOT / "docs" / "migration.md", "json")[0].text)
    after = json.loads(shown(ROOT / "docs" / "migration.md", "json")[1].text)
    event = {name.removeprefix("ce_"): value for name, value in after["headers"].items()}
    configuration = shown(RECIPES / "confluent-topic-names.md", "yaml")[-1]
    sent = rendered(tmp_path, "contacts-as-before", configuration, event | {"data": after["value"]})

    header = sent.pop("ChangeEventHeader")
    assert header == {name: former["ChangeEventHeader"][name] for name in header}
    assert sent == {name: former[name] for name in sent}
    assert (sent["FirstName"], len(header)) == (None, 7)


def name_of(page: Path) -> str:
    """Return the page's path from the root of the project."""
    return str(page.relative_to(ROOT))
