"""The systemd unit: systemd accepts it, and it agrees with the manifests."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from streamer.settings import Settings
from tests.integration.snippets.shell import parse
from tests.waiting import LIMIT_S

ROOT = Path(__file__).parents[3]
UNIT = ROOT / "packaging" / "systemd" / "streamer.service"
# Of 100. Without any hardening, it would be 96.
MOST_EXPOSED = 15


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with a program that exists on this machine."""
    text = UNIT.read_text()
    program = Path(sys.executable).with_name("streamer")
    assert "/opt/streamer/bin/streamer" in text
    made = tmp_path / UNIT.name
    made.write_text(text.replace("/opt/streamer/bin/streamer", str(program)))
    return made


@pytest.fixture
def service() -> dict[str, list[str]]:
    """The settings of the section Service."""
    return _section("Service")


def _section(name: str) -> dict[str, list[str]]:
    lines = UNIT.read_text().partition(f"[{name}]\n")[2].partition("\n[")[0].splitlines()
    found: dict[str, list[str]] = {}
    for line in lines:
        if line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def analyzed(command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
    """Ask systemd about a unit; no systemd needs to run for that."""
    return subprocess.run(
        ["systemd-analyze", *command], check=False, capture_output=True, text=True, timeout=LIMIT_S
    )


def test_systemd_finds_no_mistake(unit: Path) -> None:
    """Each key and each value is one that systemd knows."""
    ran = analyzed(["verify", "--man=no", "--recursive-errors=no", unit])

    assert (ran.returncode, ran.stderr) == (0, "")


def test_unit_leaves_the_daemon_no_more_than_it_needs(unit: Path) -> None:
    """Network, /proc/stat and writable code (of libffi) are what systemd still counts as exposed."""
    ran = analyzed(["security", "--offline=true", f"--threshold={MOST_EXPOSED}", unit])

    assert ran.returncode == 0, ran.stdout


def test_command_is_one_that_there_is(service: dict[str, list[str]]) -> None:
    """The command line takes its arguments."""
    [command] = service["ExecStart"]

    parse(command.split()[1:])


def test_stop_waits_for_the_daemon(service: dict[str, list[str]]) -> None:
    """As long as Kubernetes does, which is longer than the daemon drains."""
    deployment = yaml.safe_load((ROOT / "k8s" / "base" / "deployment" / "deployment.yaml").read_text())
    grace_s = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    drains_s = Settings.model_fields["grace_period_s"].default

    assert service["TimeoutStopSec"] == [f"{grace_s}s"]
    assert grace_s == drains_s + 20


def test_configuration_with_a_mistake_is_not_tried_again(service: dict[str, list[str]]) -> None:
    """`run` exits with 2; every other failure starts the daemon again."""
    assert service["RestartPreventExitStatus"] == ["2"]
    assert service["Restart"] == ["on-failure"]
