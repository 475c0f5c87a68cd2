"""Jars of Apache Kafka, fetched by Maven into a cache outside the working tree."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

VERSION = "4.3.0"
_POM = Path(__file__).with_name("pom.xml")


class KafkaMissing(Exception):
    """Kafka's jars are not available; the message names the remedy."""


def jars() -> Path:
    """Return the folder of the jars, and fill it on first use. Several processes can call at once."""
    return cached(f"kafka-{VERSION}", _fetch)


def cached(name: str, fetch: Callable[[Path], Path]) -> Path:
    """Return the folder `name` of the cache, which `fetch` fills on first use.

    `fetch` gets an empty folder, and returns the folder within it that becomes the
    cache's. Several processes can call at once.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "streamer" / name
    if folder.is_dir():
        return folder
    print(f"fetching {name} into {folder}", file=sys.stderr, flush=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="fetching-") as scratch:
        fetched = fetch(Path(scratch))
        try:
            # A rename makes the complete folder appear at once.
            fetched.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    return folder


def run_maven(*arguments: str) -> None:
    """Run Maven; raises `KafkaMissing` if it is missing or fails."""
    fetched = subprocess.run(
        [_program("mvn", "maven"), "-q", "-B", *arguments],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )
    if fetched.returncode != 0:
        raise KafkaMissing(f"Maven failed ({' '.join(arguments)}):\n{fetched.stdout[-2000:]}")


def java() -> str:
    """Return the path of the Java that runs Kafka."""
    return _program("java", "openjdk-17-jre-headless")


def _fetch(scratch: Path) -> Path:
    run_maven("-f", str(_POM), "dependency:copy-dependencies", f"-DoutputDirectory={scratch}/jars")
    return scratch / "jars"


def _program(name: str, package: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise KafkaMissing(f"{name} is missing: install {package}, or set STREAMER_KAFKA=host:port")
    return path
