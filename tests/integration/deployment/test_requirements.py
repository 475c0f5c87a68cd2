"""requirements.txt: the packages of the image with their hashes, and the bill of materials."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import requires
from itertools import pairwise, product
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from streamer import DISTRIBUTION
from tests.waiting import LIMIT_S

ROOT = Path(__file__).parents[3]
REQUIREMENTS = ROOT / "requirements.txt"
# One for each package: its name, version and marker, and after that its hashes.
BLOCKS = re.findall(r"^[\w.-]+==.*(?:\n    --hash=.*)*", REQUIREMENTS.read_text(), flags=re.MULTILINE)

PYTHONS = ("3.11", "3.12", "3.13")
MACHINES = ("x86_64", "aarch64")


def pins(text: str) -> dict[str, str]:
    """Return the pinned version of each package of a file, by its canonical name."""
    found = re.findall(r"^([\w.-]+)==([\w.]+)", text, flags=re.MULTILINE)
    return {str(canonicalize_name(name)): version for name, version in found}


def environment(python: str, machine: str) -> dict[str, str]:
    """Return the markers of CPython on Linux."""
    return {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "platform_machine": machine,
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }


def dependencies(name: str, markers: Mapping[str, str], extras: frozenset[str]) -> Iterator[str]:
    """Yield the canonical names of all that `name` needs there, by what the installed packages say."""
    for each in map(Requirement, requires(name) or []):
        wanted = [{**markers, "extra": extra} for extra in extras or {""}]
        if each.marker is None or any(map(each.marker.evaluate, wanted)):
            yield str(canonicalize_name(each.name))
            yield from dependencies(each.name, markers, frozenset(each.extras))


@pytest.mark.parametrize(("python", "machine"), [*product(PYTHONS, MACHINES)])
def test_every_dependency_is_pinned_and_no_other(python: str, machine: str) -> None:
    """With the extra `otel`, on every Python and machine that the image can be built for."""
    markers = environment(python, machine)
    lines = (Requirement(block.partition(" \\")[0]) for block in BLOCKS)
    there = (each.name for each in lines if each.marker is None or each.marker.evaluate(markers))

    needed = set(dependencies(DISTRIBUTION, markers, frozenset({"otel"})))
    assert {str(canonicalize_name(name)) for name in there} == needed


def test_versions_are_those_of_the_constraints() -> None:
    """So the image runs what the tests ran with."""
    constraints = pins((ROOT / "constraints.txt").read_text())

    assert pins(REQUIREMENTS.read_text()).items() <= constraints.items()


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-build.txt"])
def test_file_holds_names_versions_and_hashes_alone(name: str) -> None:
    """No address: which index to ask is the matter of who builds."""
    lines = [line for line in (ROOT / name).read_text().splitlines() if not line.startswith("#")]
    named = r"[\w.-]+==[\w.]+( ; [\w.!='\" ]+)? \\"
    hashed = r"    --hash=sha256:[0-9a-f]{64}( \\)?"

    assert [line for line in lines if not re.fullmatch(f"{named}|{hashed}", line)] == []
    assert all("--hash" in after for line, after in pairwise(lines) if "==" in line)


def test_build_is_verified_too() -> None:
    """The backend that pyproject.toml names, and the packages that the backend needs."""
    required = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    pinned = pins((ROOT / "requirements-build.txt").read_text())

    assert pins("\n".join(required)).items() <= pinned.items()
    assert pinned.keys() - {"hatchling"} == {
        *("packaging", "pathspec", "pluggy", "tomlkit", "trove-classifiers"),
    }


@pytest.mark.parametrize("python", PYTHONS)
def test_compiled_packages_have_a_wheel_for_the_other_machine(python: str, tmp_path: Path) -> None:
    """With its hash in the file, for pip refuses any other; a package of pure Python has two files at most.

    The container's test installs the wheels of x86_64.
    """
    compiled, lock = tmp_path / "compiled.txt", tmp_path / "pylock.toml"
    compiled.write_text("\n".join(block for block in BLOCKS if block.count("--hash") > 2) + "\n")
    options = ["--quiet", "--no-deps", "--only-binary=:all:", "--python-platform=aarch64-manylinux_2_28"]
    options += [f"--python-version={python}", f"--output-file={lock}"]
    uv = Path(sys.executable).with_name("uv")
    ran = subprocess.run(
        [uv, "pip", "compile", *options, compiled], check=False, capture_output=True, text=True, timeout=240
    )
    assert ran.returncode == 0, ran.stderr
    packages = tomllib.loads(lock.read_text())["packages"]

    assert {each["name"] for each in packages} == pins(compiled.read_text()).keys()
    wheels = {each["name"]: {wheel["hashes"]["sha256"] for wheel in each["wheels"]} for each in packages}
    hashed = set(re.findall("sha256:([0-9a-f]{64})", compiled.read_text()))
    assert [name for name, hashes in wheels.items() if not hashes or not hashes <= hashed] == []
    assert "orjson" in wheels


def test_bill_of_materials_names_what_the_image_installs(tmp_path: Path) -> None:
    """`make sbom` writes CycloneDX, with the hashes."""
    programs = Path(sys.executable).parent
    command = ["make", "sbom", "READY=", f"BIN={programs}", f"DIST={tmp_path}"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=LIMIT_S)
    bill = json.loads((tmp_path / "sbom.cdx.json").read_text())

    assert (bill["bomFormat"], bill["metadata"]["component"]["name"]) == ("CycloneDX", DISTRIBUTION)
    assert {each["name"]: each["version"] for each in bill["components"]} == pins(REQUIREMENTS.read_text())
    assert all(each["externalReferences"][0]["hashes"] for each in bill["components"])
