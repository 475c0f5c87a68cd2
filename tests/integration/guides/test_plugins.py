"""The plugin that docs/plugins.md shows works as it stands there."""

import json
import re
import subprocess
import sys
import tomllib
import zipfile
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from streamer import DISTRIBUTION
from streamer.app.plugins import make_subscriber
from streamer.clock import TurnedClock
from streamer.configuration import load_document
from streamer.dispatch.attempt.route import RouteSource, compile_route
from streamer.events import Delivered, SubscriberName
from streamer.ports import PluginContext, Subscriber
from streamer.settings import SubscriberSettings
from streamer.testing import ScriptedTarget, a_delivery
from subscribers.erp import Erp
from tests.deliveries import event
from tests.integration.guides.pages import page
from tests.unit.dispatch.world import mistaken

GUIDE = page("docs/plugins.md")
BLOCK = r"```\w+\n(.*?)^```"


def blocks(pattern: str) -> list[Any]:
    """Return every match of `pattern` in the guide."""
    return re.findall(pattern, GUIDE, flags=re.DOTALL | re.MULTILINE)


FILES: dict[str, str] = dict(blocks(rf"^`(\w+\.(?:py|toml|yaml))` (?:(?!\n\n).)*\n\n{BLOCK}"))
SETTINGS: list[str] = [block for block in blocks(BLOCK) if block.startswith("settings:")]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Install the example as pip would: its files, and what says where its entry point is."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    project = tomllib.loads(FILES["pyproject.toml"])["project"]
    info = tmp_path / "bell.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 1\n")
    [(group, points)] = project["entry-points"].items()
    named = "".join(f"{name} = {value}\n" for name, value in points.items())
    (info / "entry_points.txt").write_text(f"[{group}]\n{named}")
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("bell", None)


def subscriber(package: Path, url: str) -> Subscriber:
    """Make the subscriber of the example's configuration, which delivers to `url`."""
    path = package / "here.yaml"
    path.write_text(FILES["streamer.yaml"].replace("https://bell.acme.com", url))
    document = load_document([path], {"BELL_TOKEN": "not-a-real-token"})
    settings = SubscriberSettings.model_validate(document.at(["subscribers", "front-desk"]))
    context = PluginContext(name=SubscriberName("front-desk"), clock=TurnedClock())
    return make_subscriber(settings, context, document)


def test_example_keeps_the_contract(package: Path) -> None:
    """As its author sees it: every check passes, in a pytest without plugins of ours."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio"]
    ran = subprocess.run(command, cwd=package, check=False, capture_output=True, text=True, timeout=60)

    assert ran.returncode == 0, ran.stdout
    assert int(re.findall(r"(\d+) passed", ran.stdout)[0]) > 20


async def test_example_delivers(package: Path) -> None:
    """Found by its entry point and configured as shown, it rings the bell."""
    async with ScriptedTarget() as target, subscriber(package, target.url) as bell:
        outcome = await bell.deliver(a_delivery(text="Acme is won"))

    [request] = target.requests
    assert outcome == Delivered(answer={"ok": True})
    assert (request.path, request.headers["Authorization"]) == ("/v1/rings", "Bearer not-a-real-token")
    assert json.loads(request.body) == {"loudness": 9, "message": "Acme is won"}


def test_example_builds_as_printed(tmp_path: Path) -> None:
    """The wheel holds the plugin, not its tests, and asks pip for Streamer by the right name."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", "made", "."]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=240)
    [wheel] = tmp_path.glob("made/*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read("streamer_bell-1.0.dist-info/METADATA").decode()

    assert [name for name in names if not name.startswith("streamer_bell-1.0.dist-info/")] == ["bell.py"]
    assert re.findall(r"^Requires-Dist: (.+)$", metadata, flags=re.MULTILINE) == [DISTRIBUTION]


def test_example_stays_short() -> None:
    """A plugin is about twenty lines, imports aside."""
    lines = [line for line in FILES["bell.py"].splitlines() if line and "import" not in line]

    assert len(lines) <= 20


@pytest.mark.parametrize("block", SETTINGS)
def test_settings_are_valid(block: str, tmp_path: Path) -> None:
    """The guide's blocks of `outcomes` and `signing` can be copied."""
    path = tmp_path / "shown.yaml"
    path.write_text(block)
    secret = "whsec_" + b64encode(b"x" * 32).decode()
    shown = load_document([path], {"SIGNING_SECRET": secret, "OLD_SIGNING_SECRET": secret}).data["settings"]

    assert Erp.Settings.model_validate(shown).model_fields_set == set(shown)


def test_every_file_of_the_example_is_there() -> None:
    """Each block that is a file has its name before it, and the settings are found."""
    assert len(SETTINGS) == 2
    assert set(FILES) == {"bell.py", "pyproject.toml", "streamer.yaml", "test_bell.py"}


def test_example_rings_for_an_update_of_the_stage_alone() -> None:
    """Its text needs no other field, and other changes do not ring."""
    written = yaml.safe_load(FILES["streamer.yaml"])["subscribers"]["front-desk"]
    source = RouteSource(when=written["when"], text=written["text"], strict=True)
    route = compile_route(SubscriberName("front-desk"), source, mistake=mistaken)
    won, cleared = (
        event(data={"fields": {"StageName": "Closed Won"}}),
        event(data={"fields": {"Amount": None}}),
    )

    assert route.delivery(won, attempt=1).text == f"{won.subject} is won"
    assert [route.admits(each) for each in (won, cleared, event(data={"fields": {}}))] == [True, False, False]
