"""One real Apicurio Registry on loopback, in memory, with Confluent's API."""

import subprocess
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self

from tools.kafka.jars import KafkaMissing, cached, java, run_maven
from tools.kafka.server import watch
from tools.ports import free_ports

VERSION = "2.6.13.Final"
_ARTIFACT = f"io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all"
_OPTIONS = (
    "-Xmx300m",
    "-XX:TieredStopAtLevel=1",
    "-Dquarkus.http.host=127.0.0.1",
    "-Dquarkus.log.level=WARN",
)
_START_DEADLINE_S = 180.0
_STOP_DEADLINE_S = 15.0


class Apicurio:
    """Apicurio Registry with nothing in it; entry starts it, and exit stops it.

    `url` is the address of Confluent's API. It stays the same after `kill` and `start`,
    but the schemas are gone.
    """

    def __init__(self) -> None:
        """Choose a free port."""
        (self._port,) = free_ports(1)
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="streamer-apicurio-")

    @property
    def url(self) -> str:
        """Address of Confluent's API, version 7."""
        return f"http://127.0.0.1:{self._port}/apis/ccompat/v7"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()
        self._folder.cleanup()

    def start(self) -> None:
        """Start, and return once the registry answers. Raises `KafkaMissing` without Java or Maven."""
        folder = _unpacked()
        (runner,) = folder.glob("*-runner.jar")
        log = Path(self._folder.name) / "registry.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [java(), *_OPTIONS, f"-Dquarkus.http.port={self._port}", "-jar", str(runner)],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._watchdog = watch(self._process.pid, Path(self._folder.name))
        deadline = time.monotonic() + _START_DEADLINE_S
        while time.monotonic() < deadline and self._process.poll() is None:
            if self._answers():
                return
            time.sleep(0.2)
        raise KafkaMissing(f"Apicurio did not start; the end of its log:\n{log.read_text()[-4000:]}")

    def kill(self) -> None:
        """End the process at once, if it runs."""
        if self._watchdog is not None:
            self._watchdog.kill()
            self._watchdog.communicate()
        if self._process is not None:
            self._process.kill()
            self._process.wait(_STOP_DEADLINE_S)
        self._process = self._watchdog = None

    def _answers(self) -> bool:
        # The first request takes seconds.
        try:
            with urllib.request.urlopen(f"{self.url}/subjects", timeout=30) as answer:  # noqa: S310 - our own address
                return bool(answer.status == 200)  # noqa: PLR2004 - HTTP's OK
        except (urllib.error.URLError, OSError):
            return False


def _unpacked() -> Path:
    """Return the folder of Apicurio, and fill it on first use."""
    return cached(f"apicurio-{VERSION}", _fetch)


def _fetch(scratch: Path) -> Path:
    run_maven("dependency:copy", f"-Dartifact={_ARTIFACT}", f"-DoutputDirectory={scratch}")
    (packed,) = scratch.glob("*.tar.gz")
    whole = scratch / "whole"
    with tarfile.open(packed) as archive:
        archive.extractall(whole, filter="data")
    return whole
