"""Archive of Kafka's classes, by which brokers of tests start sooner."""

from pathlib import Path

import pytest

from tools.kafka import class_archive


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the archive belongs; there is none yet."""
    path = tmp_path / "kafka.jsa"
    monkeypatch.setattr(class_archive, "_archive", lambda: path)
    return path


def test_archive_is_made_once_and_then_used(archive: Path) -> None:
    """It costs a start of its own, which only the first broker on a machine pays."""
    runs: list[str] = []

    def run_broker(options: list[str]) -> None:
        [option] = options
        runs.append(option)
        Path(option.partition("=")[2]).write_text("classes")

    assert class_archive.archive_options() == []
    class_archive.make_archive(run_broker)
    class_archive.make_archive(run_broker)

    assert len(runs) == 1
    assert archive.read_text() == "classes"
    assert class_archive.archive_options() == [f"-XX:SharedArchiveFile={archive}"]


def test_java_that_makes_no_archive_is_not_asked_again(archive: Path) -> None:
    """Its brokers start all the same, and no Java takes an empty file for an archive."""
    asked: list[list[str]] = []
    class_archive.make_archive(asked.append)
    class_archive.make_archive(asked.append)

    assert len(asked) == 1
    assert archive.read_bytes() == b""
