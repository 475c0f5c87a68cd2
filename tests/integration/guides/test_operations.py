"""docs/operations.md shows the commands and the API as they are."""

import re
import shlex
from typing import Any

import pytest
import typer
import yaml
from aiohttp.web import Application
from typer.core import TyperGroup

from streamer.admin.server import application
from streamer.cli import app
from streamer.settings import AdminSettings
from tests.integration.guides.pages import page
from tests.unit.admin.world import World

GUIDE = page("docs/operations.md")
COMMANDS = re.findall(r"^\$ (.*streamer (?:subscribers|deadletters|audit).*)$", GUIDE, flags=re.MULTILINE)


@pytest.mark.parametrize("line", COMMANDS)
def test_command_exists_with_its_options(line: str) -> None:
    """Every command and option that the guide shows exists."""
    words = shlex.split(line, comments=True)
    command: Any = typer.main.get_command(app)
    words = words[words.index("streamer", words.index("--") if "--" in words else 0) + 1 :]
    while isinstance(command, TyperGroup):
        name = words.pop(0)
        command = command.get_command(command.make_context(name, [], resilient_parsing=True), name)
    command.make_context("streamer", words)


def test_every_resource_is_in_the_guide_and_no_other() -> None:
    """The table has the same methods and paths as the API."""
    shown = set(re.findall(r"^\| `(GET|POST) ([^ ?`]+)", GUIDE, flags=re.MULTILINE))

    assert shown == _resources(application(World().context, None))


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", GUIDE, flags=re.DOTALL))
def test_settings_are_valid(block: str) -> None:
    """Every block of configuration in the guide can be copied."""
    section = yaml.safe_load(block)["admin"]
    AdminSettings.model_validate(section | ({"token": "x" * 16} if "token" in section else {}))


def _resources(api: Application) -> set[tuple[str, str]]:
    return {
        (route.method, route.resource.canonical)
        for route in api.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
