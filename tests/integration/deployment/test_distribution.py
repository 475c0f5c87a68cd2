"""The wheel and the source distribution, as `make dist` builds them."""

import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from streamer import DISTRIBUTION
from tests.integration.deployment.entry_points import PLUGINS
from tests.integration.guides.test_example import ENVIRONMENT
from tests.waiting import LIMIT_S
from tools.packaging.bill_of_materials import BILL, bill

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

    assert re.fullmatch(r"hatchling==[\d.]+", requirement)


def test_second_build_elsewhere_is_the_same(dist: Path, tmp_path: Path) -> None:
    """Another folder, other times and rights of the files, and another time zone make the same bytes."""
    sources = tmp_path / "sources"
    for path in map(Path, copied()):
        target = sources / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / path).read_bytes())
        target.chmod(0o600)
    environ = {**os.environ, "TZ": "Pacific/Auckland", "SOURCE_DATE_EPOCH": str(last_commit())}
    command = [sys.executable, "-m", "build", "--installer", "uv", "--outdir", str(tmp_path / "again")]
    subprocess.run(
        [*command, sources], env=environ, check=True, capture_output=True, timeout=LIMIT_S, umask=0o077
    )

    assert hashes(tmp_path / "again") == hashes(dist)
    with zipfile.ZipFile(dist / f"{INFO}-py3-none-any.whl") as archive:
        # An entry of a zip file has a resolution of two seconds, and no time zone.
        times = {datetime(*each.date_time, tzinfo=UTC).timestamp() for each in archive.infolist()}
    assert {last_commit() - time for time in times} <= {0, 1}


def copied() -> list[str]:
    """Return the paths of all files that git knows or would add."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [each for each in listed.splitlines() if (ROOT / each).is_file()]


def last_commit() -> int:
    """Return the time of the last commit, in epoch seconds."""
    command = ["git", "log", "-1", "--format=%ct"]
    return int(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


def hashes(folder: Path) -> dict[str, str]:
    """Return the hash of each archive in a folder."""
    return {each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in folder.iterdir()}


def test_wheel_holds_the_two_packages_and_nothing_else(dist: Path) -> None:
    """All of their files, those that are not Python too, and no test."""
    with zipfile.ZipFile(dist / f"{INFO}-py3-none-any.whl") as archive:
        names = {name for name in archive.namelist() if not name.startswith(f"{INFO}.")}

    packages = (path for package in ("streamer", "subscribers") for path in (ROOT / package).rglob("*"))
    expected = {
        str(path.relative_to(ROOT)) for path in packages if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == expected
    assert {"streamer/py.typed", "subscribers/py.typed"} <= names


def test_wheel_says_what_it_is(dist: Path) -> None:
    """Its licence, its bill of materials where PEP 770 wants it, and the extra for traces."""
    with zipfile.ZipFile(dist / f"{INFO}-py3-none-any.whl") as archive:
        info = {
            name.partition("/")[2] for name in archive.namelist() if name.startswith(f"{INFO}.dist-info/")
        }
        metadata = archive.read(f"{INFO}.dist-info/METADATA").decode()
        licence = archive.read(f"{INFO}.dist-info/licenses/LICENSE").decode()
        bill = archive.read(f"{INFO}.dist-info/sboms/{BILL.name}").decode()

    assert info == {
        *("METADATA", "WHEEL", "RECORD", "entry_points.txt"),
        *("licenses/LICENSE", f"sboms/{BILL.name}"),
    }
    assert "\nLicense-Expression: Apache-2.0\n" in metadata
    assert re.findall(r"^Provides-Extra: (.+)$", metadata, flags=re.MULTILINE) == ["dev", "docs", "otel"]
    assert licence == (ROOT / "LICENSE").read_text()
    assert bill == BILL.read_text()


def test_bill_of_the_wheel_names_what_it_asks_for() -> None:
    """It is valid CycloneDX, and `make reference` writes it again."""
    written = BILL.read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    said = json.loads(written)

    assert written == bill()
    assert JsonStrictValidator(SchemaVersion.V1_7).validate_str(written) is None
    asked = {str(canonicalize_name(Requirement(each).name)) for each in project["dependencies"]}
    assert {each["name"] for each in said["components"]} == asked
    assert said["metadata"]["component"]["purl"] == f"pkg:pypi/{DISTRIBUTION}@{project['version']}"


def test_wheel_brings_the_files_beside_the_code(dist: Path) -> None:
    """The manual, the completion of three shells, and the unit, each where programs look for it."""
    with zipfile.ZipFile(dist / f"{INFO}-py3-none-any.whl") as archive:
        prefix = f"{INFO}.data/data/"
        beside = {name.removeprefix(prefix) for name in archive.namelist() if name.startswith(prefix)}

    manual = {f"share/man/man1/{each.name}" for each in (ROOT / "packaging" / "man").iterdir()}
    assert beside == manual | {
        "share/bash-completion/completions/streamer",
        "share/zsh/site-functions/_streamer",
        "share/fish/vendor_completions.d/streamer.fish",
        "lib/systemd/system/streamer.service",
    }


def test_source_distribution_has_the_example_and_the_pins(sources: Path) -> None:
    """And the pages, but not the tests."""
    assert {each.name for each in sources.iterdir()} == {
        *("streamer", "subscribers", "packaging", "config", "docs"),
        *("CHANGELOG.md", "LICENSE", "README.md", "SECURITY.md"),
        *(".gitignore", "PKG-INFO", "constraints.txt", "pyproject.toml"),
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
        EXTRA = "streamer.testing", "streamer.observe.otlp"
        for package in (streamer, subscribers):
            for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
                if "__main__" not in module.name and not module.name.startswith(EXTRA):
                    import_module(module.name)
        for point in sorted(entry_points(group="streamer.subscribers")):
            print(point.name, point.load().__name__)
    """
    printed = said([programs / "python", "-c", "if True:" + script], tmp_path)

    assert printed.splitlines() == list(PLUGINS)
