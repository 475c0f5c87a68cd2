"""The program that judges manifests is built once, into a cache."""

from pathlib import Path

import pytest

from tools.kube_score import VERSION, KubeScoreMissing, kube_score

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

    assert [kube_score().read_text(), kube_score().read_text()] == ["program\n", "program\n"]
    assert log.read_text() == f"install github.com/zegl/kube-score/cmd/kube-score@v{VERSION}\n"


def test_failed_build_leaves_nothing_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next call tries again."""
    go(tmp_path, monkeypatch, "echo 'no such host' >&2; exit 1")
    with pytest.raises(KubeScoreMissing, match="no such host"):
        kube_score()

    go(tmp_path, monkeypatch, BUILDS)
    assert kube_score().is_file()
