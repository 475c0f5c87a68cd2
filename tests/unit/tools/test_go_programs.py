"""Programs that check shipped files are built once, into a cache."""

from pathlib import Path

import pytest

from tools.go_programs import COMPOSE_SPEC, KUBE_SCORE, GoProgramMissing

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


def test_another_version_is_another_file() -> None:
    """A cache that outlives an upgrade gives nothing stale."""
    assert KUBE_SCORE.version in str(KUBE_SCORE.path)
    assert KUBE_SCORE.path.parent != COMPOSE_SPEC.path.parent
