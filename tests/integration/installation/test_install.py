"""Wheels in a folder, installed by pip into a bare environment, far from the sources."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

import pytest
from aiohttp import ClientSession

from streamer import DISTRIBUTION
from tests.daemon import Daemon
from tests.integration.guides.pages import block, page
from tests.integration.installation.kept_log import ALL, PARKED, WAITING, Order, World, write
from tests.operating import Operator
from tests.waiting import LIMIT_S, until

pytestmark = pytest.mark.heavy

ROOT = Path(__file__).parents[3]
PLUGINS = page("docs/plugins.md")
PRESENT = version(DISTRIBUTION)
NEXT = f"{PRESENT}.post1"
CONFIGURATION = """\
org:
  login_url: https://acme.my.salesforce.com
  auth: {flow: client_credentials, client_id: id, client_secret: secret}
channels: [/data/ChangeEvents]
"""


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheels of this version, of a next one, and of the guide's plugin."""
    folder = tmp_path_factory.mktemp("index")
    _build(ROOT, folder)
    following = tmp_path_factory.mktemp("next")
    for name in ("streamer", "subscribers", "packaging"):
        shutil.copytree(ROOT / name, following / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("README.md", "LICENSE"):
        shutil.copy(ROOT / name, following)
    project = (ROOT / "pyproject.toml").read_text()
    (following / "pyproject.toml").write_text(
        project.replace(f'\nversion = "{PRESENT}"', f'\nversion = "{NEXT}"')
    )
    _build(following, folder)
    plugin = tmp_path_factory.mktemp("bell")
    (plugin / "bell.py").write_text(PLUGINS.partition("```python\n")[2].partition("```")[0])
    (plugin / "pyproject.toml").write_text(block(PLUGINS, "toml"))
    _build(plugin, folder)
    return folder


def _build(sources: Path, folder: Path) -> None:
    uv = Path(sys.executable).with_name("uv")
    command: list[str | Path] = [uv, "build", "--quiet", "--wheel", "--out-dir", folder, sources]
    subprocess.run(command, check=True, timeout=LIMIT_S)


class Environment:
    """A virtual environment, and an empty folder in which its programs run."""

    def __init__(self, folder: Path, index: Path) -> None:
        self.bin = folder / "bin"
        self._index = index
        subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=LIMIT_S)

    def install(self, *names: str) -> None:
        """Install from the folder, and what else is needed from the configured registry."""
        pins = ["--find-links", str(self._index), "--constraint", str(ROOT / "constraints.txt")]
        said = self.run("python", "-m", "pip", "install", "--quiet", "--no-compile", *pins, *names)
        assert said.returncode == 0, said.stderr

    def run(
        self, program: str, *arguments: str, folder: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment to its end."""
        return subprocess.run(
            [self.bin / program, *arguments],
            cwd=folder or self.bin.parent,
            env=environ(),
            check=False,
            capture_output=True,
            text=True,
            timeout=2 * LIMIT_S,
        )

    @asynccontextmanager
    async def daemon(self, config: Path) -> AsyncIterator[Daemon]:
        """Run the installed daemon."""
        output = config.with_suffix(".output")
        with output.open("wb") as file:
            command: list[str | Path] = [self.bin / "streamer", "run", "-c", config]
            process = await asyncio.create_subprocess_exec(
                *command, stdout=file, stderr=file, cwd=config.parent, env=environ()
            )
        try:
            yield Daemon(process, output)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


def environ() -> dict[str, str]:
    """Return the environment without paths into the sources."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


@pytest.fixture(scope="module")
def installed(index: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with this version."""
    made = Environment(tmp_path_factory.mktemp("bare") / "venv", index)
    made.install(f"{DISTRIBUTION}=={PRESENT}")
    return made


def test_program_says_its_version(installed: Environment, tmp_path: Path) -> None:
    """It runs in an empty folder."""
    assert installed.run("streamer", "--version", folder=tmp_path).stdout == f"streamer {PRESENT}\n"


def test_files_beside_the_code_are_where_programs_look(installed: Environment) -> None:
    """The manual, the completion of three shells, and the unit."""
    places = ("share/man/man1", "share/bash-completion", "share/zsh", "share/fish", "lib/systemd")
    found = {
        place: {each.name for each in (installed.bin.parent / place).rglob("*") if each.is_file()}
        for place in places
    }

    assert found["share/man/man1"] >= {"streamer.1", "streamer-run.1", "streamer-deadletters.1"}
    assert [*found.values()][1:] == [{"streamer"}, {"_streamer"}, {"streamer.fish"}, {"streamer.service"}]


@pytest.fixture
def sandbox_address(installed: Environment, tmp_path: Path) -> Iterator[str]:
    """The address of the installed sandbox, which must end cleanly."""
    command: list[str | Path] = [installed.bin / "streamer", "sandbox", "--port", "0", "--pubsub-port", "0"]
    with subprocess.Popen(command, cwd=tmp_path, env=environ(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = next(
            found[0] for line in process.stdout if (found := re.search(r"http://[\w.]+:\d+", line))
        )
        yield address
        process.terminate()
        process.stdout.read()
        assert process.wait(LIMIT_S) == 0


async def test_sandbox_answers(sandbox_address: str) -> None:
    """A client finds the versions of the REST API."""
    async with ClientSession(sandbox_address) as http, http.get("/services/data") as answer:
        assert (await answer.json())[-1]["url"].startswith("/services/data/v")


def test_demo_delivers_everything(installed: Environment, tmp_path: Path) -> None:
    """It needs nothing but the environment."""
    ran = installed.run("streamer", "demo", "--for", "5s", "--report", "report.json", folder=tmp_path)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert json.loads((tmp_path / "report.json").read_text())["sent"] > 0


def test_plugin_of_its_own_package_is_found(installed: Environment, tmp_path: Path) -> None:
    """The guide's plugin is unknown before its installation, and checked after it."""
    shown = next(
        text for text in re.findall(r"```yaml\n(.*?)```", PLUGINS, flags=re.DOTALL) if "bell" in text
    )
    (tmp_path / "streamer.yaml").write_text(CONFIGURATION + shown.replace("${BELL_TOKEN}", "invented"))
    before = installed.run("streamer", "check", "-c", "streamer.yaml", folder=tmp_path)
    installed.install("streamer-bell")
    after = installed.run("streamer", "check", "-c", "streamer.yaml", folder=tmp_path)

    assert before.returncode == 2
    assert "bell" in before.stdout + before.stderr
    assert after.returncode == 0, after.stdout + after.stderr


async def test_log_outlives_an_upgrade_and_a_downgrade(installed: Environment, tmp_path: Path) -> None:
    """Each version continues where the other version stopped, and delivers no event twice."""
    async with World.of(tmp_path) as world:
        await write(world)
        before = world.invoiced
        for number, (release, key) in enumerate([(NEXT, "A"), (PRESENT, "C")], start=len(ALL) + 1):
            installed.install(f"{DISTRIBUTION}=={release}")
            async with installed.daemon(world.configuration(archives=True)) as daemon:
                await daemon.ready()
                operator = await Operator.of(daemon)
                assert daemon.logged("daemon.starting")[0]["version"] == release
                if release == NEXT:
                    world.erp.faults.fail_keys = None
                    assert (await operator.call("subscribers", "resume", "invoice")).status == 0
                world.place([Order(number=number, key=key)])
                await until(lambda: len(world.archived) == number)  # noqa: B023 - awaited at once
                await until(lambda: len(world.rows("receipts")) == number - 1)  # noqa: B023 - awaited at once
                assert len(await operator.dead_letters(1)) == 1
                assert await daemon.stop() == 0

    numbers = [each.number for each in PARKED + WAITING]
    assert sorted(world.invoiced[len(before) :]) == [*numbers, len(ALL) + 1, len(ALL) + 2]
