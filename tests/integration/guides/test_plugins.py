"""The plugin in docs/plugins.md works unchanged."""

import json
import re
import subprocess
import sys
import textwrap
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import ClientSession

from streamer import DISTRIBUTION
from streamer.app.plugins import make_subscriber
from streamer.clock import TurnedClock
from streamer.configuration import load_document
from streamer.dispatch.delivery.route import RouteSource, compile_route
from streamer.events import Delivered, Skip, SubscriberName
from streamer.ports import PluginContext, Subscriber
from streamer.settings import SubscriberSettings
from streamer.testing import Reply, ScriptedTarget, a_delivery
from tests.deliveries import event
from tests.integration.guides.pages import ROOT, page
from tests.unit.dispatch.world import mistaken
from tests.waiting import LIMIT_S

GUIDE = page("docs/plugins.md")
BLOCK = r"```\w+\n(.*?)^```"


def blocks(pattern: str) -> list[Any]:
    """Return every match of `pattern` in the guide."""
    return re.findall(pattern, GUIDE, flags=re.DOTALL | re.MULTILINE)


FILES: dict[str, str] = dict(blocks(rf"^`(\w+\.(?:py|toml|yaml))` (?:(?!\n\n).)*\n\n{BLOCK}"))
# The guide leaves these parts to the reader: the request, and the imports.
RING = """
    def _ring(self, delivery: Delivery) -> Request:
        return Request(method="POST", url=URL(self._settings.url), key=delivery.key, body={})
"""
SPOOL = """
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from tempfile import TemporaryDirectory

from streamer.testing import SubscriberContract
from tests.integration.testing.test_spool import Spool

"""


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
    ran = subprocess.run(command, cwd=package, check=False, capture_output=True, text=True, timeout=LIMIT_S)

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
    subprocess.run(command, cwd=tmp_path, check=True, timeout=LIMIT_S)
    [wheel] = tmp_path.glob("made/*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read("streamer_bell-1.0.dist-info/METADATA").decode()

    assert [name for name in names if not name.startswith("streamer_bell-1.0.dist-info/")] == ["bell.py"]
    assert re.findall(r"^Requires-Dist: (.+)$", metadata, flags=re.MULTILINE) == [DISTRIBUTION]


async def test_plugin_can_read_the_answer_first(package: Path) -> None:
    """The error code of the guide's `deliver` is skipped; the table judges the rest."""
    shown = next(block for block in blocks(BLOCK) if "bell_is_muted" in block)
    written = FILES["bell.py"].partition("    async def deliver")[0] + shown + RING
    imports = "from streamer.events import Skip\nfrom subscribers.http import Answer\n"
    (package / "bell.py").write_text(imports + written)
    async with ScriptedTarget() as target, subscriber(package, target.url) as bell:
        target.then(Reply(status=400, body=b'{"error": "bell_is_muted"}'), Reply())
        outcomes = [await bell.deliver(a_delivery()) for _ in range(2)]

    assert outcomes == [Skip(reason="the bell is muted"), Delivered(answer={"ok": True})]


def test_contract_of_another_protocol_can_be_copied(tmp_path: Path) -> None:
    """With the imports that its names need, every check passes."""
    shown = next(block for block in blocks(BLOCK) if "class TestSpool" in block)
    (tmp_path / "test_copied.py").write_text(SPOOL + shown)
    # Its own root keeps our settings of pytest away.
    options = ["-q", "-p", "no:cacheprovider", f"--rootdir={tmp_path}"]
    command = [sys.executable, "-m", "pytest", *options, str(tmp_path)]
    ran = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=LIMIT_S)

    assert ran.returncode == 0, ran.stdout
    assert "passed" in ran.stdout


async def test_scripted_target_is_used_as_shown() -> None:
    """It gives the two answers in turn."""
    (shown,) = [block for block in blocks(BLOCK) if block.startswith("async with ScriptedTarget")]
    asked = shown.replace("...", "asked.extend([(await http.post(target.url)).status for _ in range(2)])")
    within = "async def use():\n" + textwrap.indent(asked, "    ")
    async with ClientSession() as http:
        names: dict[str, Any] = {"ScriptedTarget": ScriptedTarget, "Reply": Reply, "asked": [], "http": http}
        exec(within, names)  # noqa: S102 - the guide's own lines
        await names["use"]()

    assert names["asked"] == [503, 200]


def test_example_stays_short() -> None:
    """A plugin is about twenty lines, imports aside."""
    lines = [line for line in FILES["bell.py"].splitlines() if line and "import" not in line]

    assert len(lines) <= 20


def test_every_file_of_the_example_is_there() -> None:
    """Each block that is a file has its name before it."""
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
