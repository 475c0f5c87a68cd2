"""The README's configuration works unchanged, and its statements are true."""

import inspect
import json
import re
from pathlib import Path

import pytest
from aiohttp import ClientSession
from typer.testing import CliRunner

from streamer import DISTRIBUTION
from streamer.app.plan import plan
from streamer.cli import app
from streamer.cli.sandbox import sandbox as sandbox_command
from streamer.clock import SystemClock
from streamer.configuration import load_document
from streamer.errors import ConfigurationError
from streamer.sandbox import Sandbox
from tests.integration.guides.pages import PAGES, block, page

README = page("README.md")
SECRETS = {
    "SF_CLIENT_ID": "id",
    "SF_CLIENT_SECRET": "secret",
    "SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/T0/B0/x",
}

WON_TYPE = "salesforce.cdc.Opportunity.updated"
WON = {
    "data": {"fields": {"StageName": "Closed Won"}},
    "record": {"Name": "Acme renewal", "Amount": 12500},
}


def test_configuration_is_whole_and_valid(tmp_path: Path) -> None:
    """It passes the check as a newcomer would copy it."""
    path = tmp_path / "streamer.yaml"
    path.write_text(block(README, "yaml"))

    assert list(plan(load_document([path], SECRETS), SystemClock()).settings.subscribers) == ["sales-channel"]


def test_named_variables_are_set_before_the_check() -> None:
    """Without them, the check refuses the configuration."""
    (exported,) = re.findall(r"^ *\$ export (.+)$", README, flags=re.MULTILINE)

    assert {word.partition("=")[0] for word in exported.split()} == set(SECRETS)


def test_mistake_is_named_as_shown(tmp_path: Path) -> None:
    """The README's own configuration with one letter missing gives the line that the README shows."""
    path = tmp_path / "streamer.yaml"
    path.write_text(block(README, "yaml").replace("    settings:", "    setings:"))
    with pytest.raises(ConfigurationError) as refused:
        plan(load_document([path], SECRETS), SystemClock())

    (shown,) = re.findall(r"^streamer: (.*), …$", README, flags=re.MULTILINE)
    assert shown in str(refused.value).replace(f"{tmp_path}/", "")


def test_message_names_the_deal_and_the_amount(tmp_path: Path) -> None:
    """Although the event carries only the new stage, the text is the one that the README shows."""
    path = tmp_path / "streamer.yaml"
    path.write_text(block(README, "yaml"))
    (tmp_path / "event.json").write_text(json.dumps(WON))
    command = ["render", "sales-channel", str(tmp_path / "event.json"), "-c", str(path), "--type", WON_TYPE]
    printed = CliRunner(env=SECRETS).invoke(app, command)

    (shown,) = re.findall(r"Slack shows `(.+?)`", README)
    assert printed.exit_code == 0, printed.output
    assert shown in printed.output


def test_figures_are_measured_ones() -> None:
    """Each figure that the comparison shows stands on the page that says how it was measured."""
    compared = README.partition("## Why this one")[2].partition("## See it run")[0]
    figures = re.findall(r"\d[\d,]+\b", compared)

    assert len(figures) == 4
    assert [figure for figure in figures if figure not in page("docs/performance.md")] == []


async def test_sandbox_is_reached_as_told() -> None:
    """At its port, with the credentials that the README names."""
    (id_, secret) = re.findall(r"`client_(?:id|secret)` \*([\w-]+)\*", README)
    form = {"grant_type": "client_credentials", "client_id": id_, "client_secret": secret}
    async with Sandbox(SystemClock()) as sandbox, ClientSession() as http:
        answer = await http.post(f"{sandbox.url}/services/oauth2/token", data=form)

    default = inspect.signature(sandbox_command).parameters["port"].default
    assert (answer.status, f"http://localhost:{default}" in README) == (200, True)


def test_distribution_is_installed_by_its_own_name() -> None:
    """On PyPI, the name of the command belongs to another project."""
    named = re.findall(r"pip\s+install\s+(streamer[\w-]*)", "".join(each.read_text() for each in PAGES))

    assert set(named) == {DISTRIBUTION}
