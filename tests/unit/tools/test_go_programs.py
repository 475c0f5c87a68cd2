"""Programs that check shipped files are built once, into a cache."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import LIMIT_S
from tools.go_programs import COMPOSE_SPEC, HELM_3, KUBE_SCORE, GoProgramMissing

BUILDS = """
    echo "$*" >> "$LOG"
    echo program > "$GOBIN/kube-score"
"""


def go(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    """Put a `go` of our own before the machine's, and return the file in which it logs its calls."""
    program = folder / "go"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    log = folder / "log"
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")
    monkeypatch.setenv("LOG", str(log))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    return log


def test_it_is_built_at_one_version_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second call builds nothing."""
    log = go(tmp_path, monkeypatch, BUILDS)

    assert [KUBE_SCORE.installed().read_text(), KUBE_SCORE.installed().read_text()] == ["program\n"] * 2
    assert log.read_text() == f"install {KUBE_SCORE.package}@v{KUBE_SCORE.version}\n"


def test_failed_build_leaves_nothing_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next call tries again."""
    go(tmp_path, monkeypatch, "echo 'no such host' >&2; exit 1")
    with pytest.raises(GoProgramMissing, match="no such host"):
        KUBE_SCORE.installed()

    go(tmp_path, monkeypatch, BUILDS)
    assert KUBE_SCORE.installed().is_file()


def test_command_finds_helm_3_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own Helm would test another version. The command's exit status is kept."""
    go(tmp_path, monkeypatch, 'cp "$0" "$GOBIN/helm"')
    (tmp_path / "helm").symlink_to(tmp_path / "go")
    script = "import shutil; print(shutil.which('helm')); raise SystemExit(3)"
    ran = subprocess.run(
        [sys.executable, "-m", "tools.go_programs", sys.executable, "-c", script],
        check=False,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )

    assert ran.stdout.splitlines()[-1] == str(HELM_3.path)
    assert ran.returncode == 3


def test_another_version_is_another_file() -> None:
    """A cache that outlives an upgrade gives nothing stale."""
    assert KUBE_SCORE.version in str(KUBE_SCORE.path)
    assert KUBE_SCORE.path.parent != COMPOSE_SPEC.path.parent
