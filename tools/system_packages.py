"""Installs the programs that the tests start: `python -m tools.system_packages`.

As root on a machine with apt-get, the script installs missing packages. Elsewhere
it lists them and exits with 1.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from tools.go_programs import PROGRAMS, GoProgramMissing
from tools.kubectl import KubectlMissing, helm, kubectl
from tools.monitoring.prometheus import is_installed
from tools.mosquitto import mosquitto

_OLDEST_JAVA = 17
_OF_LINUX = (
    ("systemd-analyze", "checks the systemd unit", "systemd-analyze", "systemd"),
    ("Buildah", "builds and runs the image", "buildah", "buildah"),
    ("mmdebstrap", "makes the base of the image", "mmdebstrap", "mmdebstrap"),
)
_APT = ("apt-get", "-q", "-o", "DPkg::Lock::Timeout=300")


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Program that the tests start; `package` is its Debian package."""

    name: str
    why: str
    package: str
    is_there: Callable[[], bool]


def needs() -> list[Need]:
    """Return the programs that the tests start on this machine."""
    clients = [
        Need(name=name, why=why, package=package, is_there=partial(_has, program))
        for name, why, program, package in (
            ("curl", "reads the sandbox over TLS", "curl", "curl"),
            ("Node.js", "reads the sandbox over TLS", "node", "nodejs"),
            ("npm", "fetches clients of the sandbox", "npm", "npm"),
            ("Chromium", "shows the console", "chromium", "chromium"),
            ("man", "shows the manual pages", "man", "man-db"),
            ("zsh", "completes commands", "zsh", "zsh"),
            ("fish", "completes commands", "fish", "fish"),
            *(_OF_LINUX if sys.platform == "linux" else ()),
        )
    ]
    clients.append(
        Need(
            name="Mosquitto",
            why="takes the messages of the plugin mqtt",
            package="mosquitto",
            is_there=lambda: mosquitto() is not None,
        )
    )
    clients.append(
        Need(
            name="Prometheus",
            why="evaluates the alerts and the dashboard's expressions",
            package="prometheus",
            is_there=is_installed,
        )
    )
    if os.environ.get("STREAMER_KAFKA"):
        # With a running broker, the tests start no broker.
        return clients
    return [
        *clients,
        Need(
            name="Java 17 or newer with its compiler",
            why="runs Apache Kafka, and consumers in Java",
            package="default-jdk-headless",
            is_there=_has_java,
        ),
        Need(name="Maven", why="fetches Apache Kafka", package="maven", is_there=lambda: _has("mvn")),
    ]


def main() -> int:
    """Install or list missing programs; return the exit status."""
    missing = _missing(needs())
    if missing and os.geteuid() == 0 and _has("apt-get"):
        _install(missing)
        missing = _missing(missing)
    for need in missing:
        print(f"missing: {need.name}, which {need.why}; in Debian: apt-get install {need.package}")
    return 1 if missing or not _renders_and_judges_manifests() else 0


def _missing(wanted: Sequence[Need]) -> list[Need]:
    return [need for need in wanted if not need.is_there()]


def _install(missing: Sequence[Need]) -> None:
    packages = [need.package for need in missing]
    print(f"installing {', '.join(packages)} with apt-get: about a minute", flush=True)
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run([*_APT, "update"], check=False, env=quiet)
    subprocess.run([*_APT, "install", "--yes", "--no-install-recommends", *packages], check=False, env=quiet)


def _has(program: str) -> bool:
    return shutil.which(program) is not None


def _has_java() -> bool:
    if not (_has("java") and _has("javac")):
        return False
    # macOS has a java stub that only reports that Java is missing.
    asked = subprocess.run(["java", "-version"], check=False, capture_output=True, text=True, timeout=60)
    version = re.search(r'version "(\d+)', asked.stderr)
    return version is not None and int(version[1]) >= _OLDEST_JAVA


def _renders_and_judges_manifests() -> bool:
    try:
        kubectl()
        helm()
        for program in PROGRAMS:
            program.installed()
    except (KubectlMissing, GoProgramMissing) as missing:
        print(f"missing: {missing}")
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
