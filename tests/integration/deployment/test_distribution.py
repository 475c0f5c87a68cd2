"""The wheel and the source distribution, as `make dist` builds them."""

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import pytest

from streamer import DISTRIBUTION
from tests.integration.deployment.entry_points import PLUGINS
from tests.integration.guides.test_example import ENVIRONMENT
from tests.waiting import LIMIT_S

ROOT = Path(__file__).parents[3]
NAME = DISTRIBUTION.replace("-", "_")
INFO = f"{NAME}-{version(DISTRIBUTION)}"

# The first of them waits for the build, another for the installation.


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the recipe of `make dist` fills, with this interpreter's environment."""
    folder = tmp_path_factory.mktemp("dist")
    programs = Path(sys.executable).parent
    command = ["make", "dist", "READY=", f"BIN={programs}", f"DIST={folder}"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=LIMIT_S)
    return folder


@pytest.fixture(scope="module")
def sources(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked source distribution."""
    folder = tmp_path_factory.mktemp("sources")
    with tarfile.open(dist / f"{INFO}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / INFO


@pytest.fixture(scope="module")
def programs(dist: Path, sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a fresh environment with the wheel and what it depends on."""
    folder = tmp_path_factory.mktemp("fresh") / "bin"
    uv = Path(sys.executable).with_name("uv")
    said([uv, "venv", "--quiet", f"--python={sys.executable}", folder.parent], sources)
    wheel = dist / f"{INFO}-py3-none-any.whl"
    # The container's test installs with pip, which takes longer.
    options = ["--quiet", f"--python={folder / 'python'}", f"--constraint={sources / 'constraints.txt'}"]
    said([uv, "pip", "install", *options, wheel], sources)
    return folder


def said(command: Sequence[str | Path], folder: Path) -> str:
    """Return what a command says in `folder`, where nothing of the source tree is on Python's path."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | ENVIRONMENT
    ran = subprocess.run(
        command, cwd=folder, env=environ, check=True, capture_output=True, text=True, timeout=360
    )
    return ran.stdout


def test_build_backend_is_exact() -> None:
    """The same sources make the same distribution a year later."""
    [requirement] = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]

    assert re.fullmatch(r"setuptools==[\d.]+", requirement)


def test_wheel_holds_the_two_packages_and_nothing_else(dist: Path) -> None:
    """All of their files, those that are not Python too, and no test."""
    with zipfile.ZipFile(dist / f"{INFO}-py3-none-any.whl") as archive:
        names = {name for name in archive.namelist() if not name.startswith(f"{INFO}.dist-info/")}

    packages = (path for package in ("streamer", "subscribers") for path in (ROOT / package).rglob("*"))
    expected = {
        str(path.relative_to(ROOT)) for path in packages if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == expected
    assert {"streamer/py.typed", "subscribers/py.typed"} <= names


def test_source_distribution_has_the_example_and_the_pins(sources: Path) -> None:
    """And the pages, but not the tests."""
    assert {each.name for each in sources.iterdir() if not each.name.endswith(".egg-info")} == {
        *("streamer", "subscribers", "config", "docs"),
        *("CHANGELOG.md", "LICENSE", "README.md", "SECURITY.md"),
        *("MANIFEST.in", "PKG-INFO", "constraints.txt", "pyproject.toml", "setup.cfg"),
    }


def test_installed_command_explains_itself(programs: Path, tmp_path: Path) -> None:
    """By its name, which is not that of the distribution."""
    assert "Usage: streamer" in said([programs / "streamer", "--help"], tmp_path)
    assert said([programs / "streamer", "--version"], tmp_path).split()[1] == version(DISTRIBUTION)


def test_installed_command_checks_the_packaged_example(programs: Path, sources: Path, tmp_path: Path) -> None:
    """With every plugin that the example uses."""
    example = sources / "config" / "streamer.yaml"

    assert "4 subscribers" in said([programs / "streamer", "check", "-c", example], tmp_path)


def test_every_installed_module_can_be_imported(programs: Path, tmp_path: Path) -> None:
    """With what the wheel asks for; the test kit asks for pytest as well, and traces for their extra."""
    script = """
        import pkgutil, subscribers, streamer
        from importlib import import_module
        from importlib.metadata import entry_points
        EXTRA = "streamer.testing", "streamer.observe.tracing.otlp"
        for package in (streamer, subscribers):
            for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
                if "__main__" not in module.name and not module.name.startswith(EXTRA):
                    import_module(module.name)
        for point in sorted(entry_points(group="streamer.subscribers")):
            print(point.name, point.load().__name__)
    """
    printed = said([programs / "python", "-c", "if True:" + script], tmp_path)

    assert printed.splitlines() == list(PLUGINS)
