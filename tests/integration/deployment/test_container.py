"""The image, as far as a test can build and run it without a container engine."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.configuration import sandbox_configuration, written
from tests.daemon import Daemon
from tests.integration.deployment.entry_points import PLUGINS
from tests.waiting import LIMIT_S

ROOT = Path(__file__).parents[3]
DOCKERFILE = ROOT / "Dockerfile"

# The first of them waits for all of the build's steps.


def instructions(name: str) -> list[str]:
    """Return the arguments of each instruction `name` in the Dockerfile, continued lines joined."""
    return [value for each, value in steps(DOCKERFILE.read_text()) if each == name]


def steps(text: str) -> list[tuple[str, str]]:
    """Return the instructions of `text` and what it gives to each, continued lines joined."""
    return re.findall(r"^([A-Z]+) (.+)$", re.sub(r"\\\n\s*", "", text), re.MULTILINE)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs that the build stage leaves, made by its own steps outside the tree."""
    uv = Path(sys.executable).with_name("uv")
    source, target = tmp_path_factory.mktemp("src"), tmp_path_factory.mktemp("opt") / "streamer"
    build = DOCKERFILE.read_text().split("\nFROM ")[1]
    for name, value in steps(build):
        if name == "COPY":
            *names, folder = value.split()
            for each in names:
                _copy(ROOT / each, source / folder)
        if name == "RUN":
            command = value.replace("/opt/", f"{target.parent}/").replace("/src", str(source))
            # Like `python -m venv`, but in a tenth of the time.
            command = command.replace("python -m venv", f"{uv} venv --quiet --seed --python={sys.executable}")
            # Each program starts once here, so bytecode would cost more than it saves.
            environ = {**os.environ, "PIP_NO_COMPILE": "1"}
            subprocess.run(
                ["/bin/sh", "-e", "-c", command], cwd=source, env=environ, check=True, timeout=LIMIT_S
            )
    return target / "bin"


def _copy(path: Path, folder: Path) -> None:
    if path.is_dir():
        shutil.copytree(path, folder, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    else:
        shutil.copy(path, folder)


def test_hadolint_finds_nothing() -> None:
    """The Dockerfile follows the rules of its trade, without exceptions."""
    hadolint = Path(sys.executable).with_name("hadolint")
    found = subprocess.run(
        [hadolint, DOCKERFILE], check=False, capture_output=True, text=True, timeout=LIMIT_S
    )

    assert (found.stdout, found.returncode) == ("", 0)


def test_everything_that_is_installed_is_verified() -> None:
    """By hashes, or made by the build itself; the base image can be named by its digest."""
    commands = " && ".join(instructions("RUN")).split(" && ")
    installs = [each for each in commands if "pip install" in each or "pip wheel" in each]

    assert len(installs) == 4
    assert all("--require-hashes" in each or "--no-deps" in each for each in installs)
    assert "--no-build-isolation" in next(each for each in installs if "pip wheel" in each)
    assert [each.split()[0] for each in instructions("FROM")] == ["${PYTHON_IMAGE}", "${PYTHON_IMAGE}"]


def test_image_runs_without_root_and_without_a_shell() -> None:
    """The user is a number that Kubernetes can check; signals reach Python itself."""
    assert instructions("USER") == ["10001:10001"]
    assert json.loads(instructions("ENTRYPOINT")[0]) == ["streamer"]
    assert json.loads(instructions("CMD")[-1]) == ["run", "-c", "/etc/streamer/streamer.yaml"]
    assert instructions("STOPSIGNAL") == ["SIGTERM"]


def test_builder_is_sent_what_is_copied() -> None:
    """`.dockerignore` lets through what the Dockerfile copies, and nothing else."""
    allowed = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    copied = [name for line in instructions("COPY") if "--from" not in line for name in line.split()[:-1]]

    assert sorted(allowed) == sorted(copied)


def test_installed_program_says_its_version(installed: Path) -> None:
    """The program that the build installs starts, far from the source tree."""
    said = subprocess.run(
        [installed / "streamer", "--version"], cwd="/", check=True, capture_output=True, text=True, timeout=60
    )
    assert "0.1.0" in said.stdout


def test_installed_program_brings_its_plugins(installed: Path) -> None:
    """The plugins' entry points and the marker of types are in the wheel."""
    script = """
        from importlib.metadata import entry_points
        from importlib.resources import files
        for point in sorted(entry_points(group="streamer.subscribers")):
            print(point.name, point.load().__name__)
        print(files("streamer").joinpath("py.typed").is_file())
    """
    said = subprocess.run(
        [installed / "python", "-c", "if True:" + script], cwd="/", check=True, capture_output=True, text=True
    )
    assert said.stdout.split("\n") == [*PLUGINS, "True", ""]


def test_health_check_fails_when_nothing_answers(installed: Path, tmp_path: Path) -> None:
    """The image's own check is a valid script whose exit status tells."""
    file = tmp_path / "address"
    file.write_text("http://localhost:1")
    asked = subprocess.run(
        [installed / "python", *health_check()],
        env={"STREAMER_ADDRESS_FILE": str(file)},
        check=False,
        capture_output=True,
        timeout=LIMIT_S,
    )

    assert b"Connection refused" in asked.stderr
    assert asked.returncode == 1


def health_check() -> list[str]:
    """Return the arguments that the image's health check gives to Python."""
    python, *arguments = json.loads(instructions("HEALTHCHECK")[0].partition("CMD ")[2])
    assert python == "python"
    return list(arguments)


async def test_health_check_follows_the_configured_port(installed: Path, tmp_path: Path) -> None:
    """It asks where the daemon listens, whatever `observe` says."""
    file = tmp_path / "address"
    log = {"sqlite": {"path": str(tmp_path / "log.db")}}
    config = written(tmp_path, sandbox_configuration("http://localhost:9", log=log))
    environ = {"STREAMER_ADDRESS_FILE": str(file), "STREAMER_CONTAINER": "1"}
    async with Daemon.running(config, environ=environ) as daemon:
        await daemon.started()
        check = await asyncio.create_subprocess_exec(installed / "python", *health_check(), env=environ)
        assert await check.wait() == 0
        assert await daemon.stop() == 0

    assert not file.exists()
