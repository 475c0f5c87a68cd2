"""Version and description of the Debian package."""

import shutil
import subprocess
from dataclasses import replace
from itertools import pairwise

import pytest

from tools.packaging.debian import PYTHON, DebianPackage

PACKAGE = DebianPackage(
    release="1.0", python=PYTHON, architecture="amd64", built_at=1764547200, maintainer="Ops <ops@acme.com>"
)


def version(release: str, python: str = PYTHON) -> str:
    """Return the package's version for a release."""
    return replace(PACKAGE, release=release, python=python).version


@pytest.mark.parametrize(
    ("release", "debian"),
    [
        ("1.0", "1.0"),
        ("1.0rc1", "1.0~rc1"),
        ("1.0a2", "1.0~a2"),
        ("1.0b3", "1.0~b3"),
        ("1.0.dev4", "1.0~~dev4"),
        ("1.0rc1.dev4", "1.0~rc1~~dev4"),
        ("1.0-rc.1", "1.0~rc1"),
    ],
)
def test_preview_has_a_tilde(release: str, debian: str) -> None:
    """Debian sorts `~` before the end of a version."""
    assert version(release) == debian


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="only Debian has dpkg")
def test_dpkg_sorts_the_versions_as_python_does() -> None:
    """An upgrade goes from each version to the next one, and to the package of a newer Python."""
    releases = ("1.0.dev4", "1.0a2.dev1", "1.0a2", "1.0b3", "1.0rc1", "1.0", "1.0.1")
    ordered = [version(each) for each in releases]
    ordered[-1:] = [version("1.0.1"), version("1.0.1", python="3.13"), version("1.0.2")]

    for older, newer in pairwise(ordered):
        subprocess.run(["dpkg", "--compare-versions", older, "lt", newer], check=True)


@pytest.mark.parametrize(("python", "bound"), [("3.9", "3.10"), ("3.11", "3.12"), ("3.13", "3.14")])
def test_package_needs_the_python_of_its_modules(python: str, bound: str) -> None:
    """Compiled modules load in one minor version only."""
    control = replace(PACKAGE, python=python).control(1024)

    assert f"\nDepends: python3 (>= {python}), python3 (<< {bound}), ca-certificates, " in control


def test_file_name_and_description_agree() -> None:
    """The file and the description have the same version and the same architecture."""
    package = replace(PACKAGE, release="1.0rc1", python="3.13", architecture="arm64")
    control = package.control(1024)

    assert package.file_name == "streamer-salesforce_1.0~rc1+python3.13_arm64.deb"
    assert "\nVersion: 1.0~rc1+python3.13\nArchitecture: arm64\nMaintainer: Ops <ops@acme.com>\n" in control
    assert "\nInstalled-Size: 1024\n" in control


def test_changelog_names_the_release() -> None:
    """The changelog has Debian's form of the version, and the release in its own words."""
    lines = replace(PACKAGE, release="1.0rc1").changelog().splitlines()

    assert lines[0] == "streamer-salesforce (1.0~rc1) unstable; urgency=medium"
    assert "Streamer 1.0rc1." in lines[2]
    assert lines[-1] == " -- Ops <ops@acme.com>  Mon, 01 Dec 2025 00:00:00 +0000"
