"""docs/operations.md shows the API and the first lines as they are."""

import re

import pytest
from aiohttp.web import Application

from streamer.admin.server import application, gate_of
from streamer.settings import AdminSettings
from tests.integration.guides.pages import ROOT, page
from tests.unit.admin.world import World

GUIDE = page("docs/operations.md")


def test_every_resource_is_in_the_guide_and_no_other() -> None:
    """The table has the same methods and paths as the API."""
    shown = set(re.findall(r"^\| `(GET|POST) ([^ ?`]+)", GUIDE, flags=re.MULTILINE))

    context = World().context
    assert shown == _resources(application(context, gate_of(context, AdminSettings())))


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
