"""What docs/operations.md shows of commands and API is there."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from aiohttp.web import Application
from typer.core import TyperGroup

from streamer.admin.server import application
from streamer.cli import app
from streamer.settings import AdminSettings
from tests.unit.admin.world import World

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs" / "operations.md").read_text()
COMMANDS = re.findall(r"^\$ (.*streamer (?:subscribers|deadletters|audit).*)$", GUIDE, flags=re.MULTILINE)
COMMANDS += re.findall(
    r"^\$ (streamer (?:subscribers|deadletters|audit).*)$",
    (ROOT / "README.md").read_text(),
    flags=re.MULTILINE,
)


@pytest.mark.parametrize("line", COMMANDS)
def test_command_exists_with_its_options(line: str) -> None:
    """Nobody is sent to an option that is not there."""
    words = shlex.split(line, comments=True)
    command: Any = typer.main.get_command(app)
    words = words[words.index("streamer", words.index("--") if "--" in words else 0) + 1 :]
    while isinstance(command, TyperGroup):
        name = words.pop(0)
        command = command.get_command(command.make_context(name, [], resilient_parsing=True), name)
    command.make_context("streamer", words)


def test_every_resource_is_in_the_guide_and_no_other() -> None:
    """Path by path."""
    shown = set(re.findall(r"^\| `(GET|POST) ([^ ?`]+)", GUIDE, flags=re.MULTILINE))

    assert shown == _resources(application(World().context, None))


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", GUIDE, flags=re.DOTALL))
def test_settings_are_valid(block: str) -> None:
    """What is shown of the configuration can be copied."""
    section = yaml.safe_load(block)["admin"]
    AdminSettings.model_validate(section | ({"token": "x" * 16} if "token" in section else {}))


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)\)", GUIDE))) or ["operations.md"])
def test_every_link_leads_to_a_file(link: str) -> None:
    """Relative to the guide."""
    assert (ROOT / "docs" / link).exists()


def _resources(api: Application) -> set[tuple[str, str]]:
    return {
        (route.method, route.resource.canonical)
        for route in api.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
