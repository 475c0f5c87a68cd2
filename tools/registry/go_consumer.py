"""Consumer of events in Avro in Go, with franz-go and hamba/avro, which share nothing with Streamer."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import orjson

from tools.go_programs import GoProgramMissing

_SOURCES = Path(__file__).with_name("consumer")
_BUILD_DEADLINE_S = 600
_READ_DEADLINE_S = 300


def consumed(kafka: str, registry: str, topic: str, count: int) -> list[dict[str, Any]]:
    """Return the key and the data of the first `count` records of a topic. Raises `CalledProcessError`."""
    read = subprocess.run(
        [str(_program()), kafka, registry, topic, str(count)],
        check=True,
        capture_output=True,
        timeout=_READ_DEADLINE_S,
    )
    return [orjson.loads(line) for line in read.stdout.splitlines()]


def _program() -> Path:
    """Return the path of the program; the first call builds it. Raises `GoProgramMissing`."""
    sources = b"".join(each.read_bytes() for each in sorted(_SOURCES.iterdir()))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = cache / "streamer" / f"avro-consumer-{hashlib.sha256(sources).hexdigest()[:12]}"
    if path.is_file():
        return path
    if shutil.which("go") is None:
        raise GoProgramMissing(
            "Go 1.23 or newer, which builds the consumer of Avro: install it from go.dev/dl."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="building-") as scratch:
        built = subprocess.run(
            ["go", "build", "-trimpath", "-o", f"{scratch}/consumer", "."],
            cwd=_SOURCES,
            check=False,
            capture_output=True,
            text=True,
            timeout=_BUILD_DEADLINE_S,
        )
        if built.returncode != 0:
            raise GoProgramMissing(f"the consumer of Avro, which Go did not build:\n{built.stderr[-1000:]}")
        # A rename makes the complete program appear at once.
        (Path(scratch) / "consumer").replace(path)
    return path
