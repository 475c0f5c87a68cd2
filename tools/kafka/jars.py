"""Jars of Apache Kafka, fetched by Maven into a cache outside the working tree."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

VERSION = "4.3.0"
_POM = Path(__file__).with_name("pom.xml")


class KafkaMissing(Exception):
    """Kafka's jars are not available; the message names the remedy."""


def jars() -> Path:
    """Return the folder of the jars, and fill it on first use. Several processes can call at once."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "streamer" / f"kafka-{VERSION}"
    if not folder.is_dir():
        _fetch(folder)
    return folder


def java() -> str:
    """Return the path of the Java that runs Kafka."""
    return _program("java", "openjdk-17-jre-headless")


def _fetch(folder: Path) -> None:
    maven = _program("mvn", "maven")
    print(f"fetching Apache Kafka {VERSION} into {folder}", file=sys.stderr, flush=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="fetching-") as scratch:
        command = [maven, "-q", "-B", "-f", str(_POM), "dependency:copy-dependencies"]
        fetched = subprocess.run(
            [*command, f"-DoutputDirectory={scratch}/jars"],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
        if fetched.returncode != 0:
            raise KafkaMissing(f"Maven could not fetch Apache Kafka {VERSION}:\n{fetched.stdout[-2000:]}")
        _move(Path(scratch) / "jars", folder)


def _move(fetched: Path, folder: Path) -> None:
    try:
        # A rename makes the complete folder appear at once.
        fetched.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


def _program(name: str, package: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise KafkaMissing(f"{name} is missing: install {package}, or set STREAMER_KAFKA=host:port")
    return path
