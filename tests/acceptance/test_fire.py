"""Trials of the fault bench on three brokers, over CometD and over the Pub/Sub API; `make fire` runs many."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_SHOWN_LINES = 25

pytestmark = pytest.mark.alone


@pytest.mark.timeout(2_400)
async def test_promises_are_kept_whatever_happens(tmp_path: Path) -> None:
    """Daemons, brokers, networks and the org fail; nothing is lost, repeated in the log, or out of order."""
    seeds = [argument for seed in ("24", "36") for argument in ("--seed", seed)]
    bench = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.acceptance.fire", *seeds, "--keep", str(tmp_path)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await bench.communicate()

    assert bench.returncode == 0, "\n".join([output.decode(), *_last_words(tmp_path)])


def _last_words(directory: Path) -> Iterator[str]:
    """Yield the last warnings and errors of each daemon: a trial that failed once can pass for long."""
    for path in sorted(directory.rglob("*.output")):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        told = [line for line in lines if '"level":"warning"' in line or '"level":"error"' in line]
        yield "\n".join([f"{path.relative_to(directory)}:", *told[-_SHOWN_LINES:]])
