"""`streamer sandbox --tls` in a process of its own."""

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.waiting import LIMIT_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The process's addresses, and the environment that it recommends to clients."""

    url: str
    pubsub: str
    recipes: Mapping[str, str]


@contextmanager
def running_with_tls(folder: Path) -> Iterator[Running]:
    """Run the command on free ports, with its certificates in `folder`; fails unless it ends cleanly."""
    arguments = ["sandbox", "--port", "0", "--tls", "--tls-folder", str(folder)]
    with subprocess.Popen(
        [sys.executable, "-m", "streamer", *arguments], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        printed = ""
        while "JAVA_TOOL_OPTIONS" not in printed:
            line = process.stdout.readline()
            assert line, printed
            printed += line
        yield Running(
            url=re.findall(r"https://localhost:\d+", printed)[0],
            pubsub=re.findall(r"Pub/Sub API listens at (localhost:\d+), with TLS", printed)[0],
            recipes=dict(re.findall(r"([A-Z_]+)=(\S+)", printed)),
        )
        process.terminate()
        assert process.wait(LIMIT_S) == 0
