"""docs/operations.md shows the commands and the API as they are."""

import re

import pytest
import yaml
from aiohttp.web import Application

from streamer.admin.server import application
from streamer.settings import AdminSettings
from tests.integration.guides.pages import ROOT, commands, page, parse
from tests.unit.admin.world import World

GUIDE = page("docs/operations.md")


@pytest.mark.parametrize("line", commands(GUIDE))
def test_command_exists_with_its_options(line: str) -> None:
    """Every command and option that the guide shows exists."""
    parse(line)


def test_every_resource_is_in_the_guide_and_no_other() -> None:
    """The table has the same methods and paths as the API."""
    shown = set(re.findall(r"^\| `(GET|POST) ([^ ?`]+)", GUIDE, flags=re.MULTILINE))

    assert shown == _resources(application(World().context, None))


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", GUIDE, flags=re.DOTALL))
def test_settings_are_valid(block: str) -> None:
    """Every block of configuration in the guide can be copied."""
    section = yaml.safe_load(block)["admin"]
    AdminSettings.model_validate(section | ({"token": "x" * 16} if "token" in section else {}))


@pytest.mark.parametrize(
    "line", ["log.opened", "channel.positioned", "channel.subscribed", "log.topic_awaited"]
)
def test_line_of_the_start_is_logged(line: str) -> None:
    """An operator finds it under the name in the guide."""
    assert f"`{line}`" in GUIDE
    assert any(f'"{line}"' in path.read_text() for path in ROOT.glob("streamer/**/*.py"))


def _resources(api: Application) -> set[tuple[str, str]]:
    return {
        (route.method, route.resource.canonical)
        for route in api.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
