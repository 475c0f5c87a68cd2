"""Programs in Java, with the libraries of a Maven project from a cache outside the working tree."""

import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tools.kafka.jars import cached, java, run_maven

_DEADLINE_S = 280
# One program after the other has the memory. Java's second compiler takes CPU, and helps only under load.
_OPTIONS = ("-Xmx400m", "-XX:TieredStopAtLevel=1", "-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8")


class ProgramFailed(Exception):
    """The program did not end with success; the message ends with its errors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JavaProject:
    """Project whose `pom.xml` names the libraries; `folder` has this file."""

    name: str
    folder: Path

    def output(self, source: Path, *, stdin: str = "") -> str:
        """Compile and run a program of one file, and return what it prints. Raises `ProgramFailed`."""
        ran = subprocess.run(
            [java(), *_OPTIONS, "-cp", f"{self._jars()}/*", str(source)],
            input=stdin,
            check=False,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=_DEADLINE_S,
        )
        if ran.returncode != 0:
            raise ProgramFailed(f"{source.name} failed:\n{ran.stderr[-4000:]}")
        return ran.stdout

    def _jars(self) -> Path:
        """Return the folder of the libraries, and fill it on first use. Raises `KafkaMissing`."""
        pom = hashlib.sha256(self._pom.read_bytes()).hexdigest()
        return cached(f"{self.name}-{pom[:12]}", self._fetch)

    @property
    def _pom(self) -> Path:
        return self.folder / "pom.xml"

    def _fetch(self, scratch: Path) -> Path:
        run_maven("-f", str(self._pom), "dependency:copy-dependencies", f"-DoutputDirectory={scratch}/jars")
        return scratch / "jars"


JAVA = JavaProject(name="java-consumers", folder=Path(__file__).with_name("java"))
"""Plain consumers, with Apache's clients of Kafka and Avro."""

FLINK = JavaProject(name="flink-sql", folder=Path(__file__).with_name("flink"))
"""Apache Flink in one process, with its connector for Kafka and its format for Confluent's Avro."""


def flink_rows(script: str) -> list[list[str]]:
    """Return the rows of a script's queries in Flink SQL, after all changes. Raises `ProgramFailed`.

    A script that reads a topic without end never returns.
    """
    printed = FLINK.output(FLINK.folder / "SqlRunner.java", stdin=script)
    return [line.split("\t") for line in printed.splitlines()]
