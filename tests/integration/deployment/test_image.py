"""The image itself, built from the Dockerfile by Buildah, and a container of it that runs."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

import aiohttp
import pytest

from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from tests.configuration import sandbox_configuration, written
from tests.integration.deployment.test_container import health_check
from tests.waiting import awaited, until
from tools.container_image import Buildah, buildah

pytestmark = pytest.mark.heavy

IMAGE = "localhost/streamer"


@pytest.fixture(scope="module")
def built() -> Iterator[Buildah]:
    """Buildah with the image."""
    with buildah() as made:
        made.build(IMAGE)
        yield made


def run(container: str, *arguments: str, config: Path | None = None) -> list[str]:
    """Return what Buildah needs to run a program in a container."""
    volumes = [f"--volume={config}:/etc/streamer:ro"] if config else []
    options = ["--isolation=chroot", "--network=host", *volumes]
    return ["run", *options, container, "--", *arguments]


def test_image_has_the_settings_of_the_dockerfile(built: Buildah) -> None:
    """A user without rights, the daemon as its command, its port, and the health check."""
    settings = built.settings(IMAGE)

    assert settings["User"] == "10001:10001"
    assert settings["Entrypoint"] == ["streamer"]
    assert settings["Cmd"] == ["run", "-c", "/etc/streamer/streamer.yaml"]
    assert settings["WorkingDir"] == "/var/lib/streamer"
    assert settings["ExposedPorts"].keys() == {"9464/tcp"}
    assert settings["StopSignal"] == "SIGTERM"
    assert settings["Healthcheck"]["Test"][1:] == ["python", *health_check()]


def test_program_runs_as_the_user_of_the_image(built: Buildah) -> None:
    """It says its version, and owns nothing but its folder."""
    container = built.call("from", IMAGE).strip()
    script = "id -u; test -w . && echo writable; test -w /opt/streamer || echo protected; streamer --version"
    said = built.call(*run(container, "sh", "-c", script))

    assert said.split("\n") == [
        "10001",
        "writable",
        "protected",
        f"streamer {version('streamer-salesforce')}",
        "",
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that the user of the image can read."""
    tmp_path.chmod(0o755)
    return tmp_path


@asynccontextmanager
async def running(built: Buildah, folder: Path) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """Start the image's command on a configuration that reads a sandbox."""
    container = built.call("from", IMAGE).strip()
    settings = built.settings(IMAGE)
    arguments = [*settings["Entrypoint"], *settings["Cmd"]]
    with (folder / "output").open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *built.command(*run(container, *arguments, config=folder)), stdout=output, stderr=output
        )
    try:
        yield container, process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_container_answers_its_probes_and_stops(built: Buildah, folder: Path) -> None:
    """It reads the org, and its own health check succeeds; SIGTERM ends it cleanly."""
    async with Sandbox(SystemClock()) as sandbox:
        log = {"sqlite": {"path": "/var/lib/streamer/streamer.db"}}
        written(folder, sandbox_configuration(sandbox.url, log=log)).chmod(0o644)
        async with running(built, folder) as (container, process):
            address = f"http://localhost:{await until(lambda: port_of(folder / 'output', process))}"
            await until(lambda: is_ready(address))
            checking = built.command(*run(container, "python", *health_check()))
            check = await asyncio.create_subprocess_exec(*checking)
            assert await awaited(check.wait()) == 0
            # Buildah itself would not pass a signal on.
            os.kill(innermost(process.pid), signal.SIGTERM)
            assert await awaited(process.wait()) == 0, (folder / "output").read_text()


def innermost(pid: int) -> int:
    """Return the process that `pid` runs through a line of processes with one child each."""
    children = [
        child for each in Path(f"/proc/{pid}/task").glob("*/children") for child in each.read_text().split()
    ]
    return innermost(int(children[0])) if children else pid


def port_of(output: Path, process: asyncio.subprocess.Process) -> int:
    """Return the port of the probes, once the daemon has named it."""
    text = output.read_text()
    assert process.returncode is None, text
    lines = [json.loads(line) for line in text.rpartition("\n")[0].splitlines() if line.startswith("{")]
    return next((line["port"] for line in lines if line["event"] == "daemon.started"), 0)


async def is_ready(address: str) -> bool:
    """Tell whether every channel is read."""
    async with aiohttp.ClientSession() as http:
        statuses = []
        for probe in ("healthz", "readyz"):
            async with http.get(f"{address}/{probe}") as answer:
                statuses.append(answer.status)
    return statuses == [200, 200]
