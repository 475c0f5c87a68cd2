"""Two trials of the fault bench, on one broker and on three; `make fire` runs many."""

import asyncio
import sys

import pytest

pytestmark = pytest.mark.alone


@pytest.mark.timeout(1_200)
async def test_promises_are_kept_whatever_happens() -> None:
    """Daemons, brokers, networks and the org fail; nothing is lost, repeated in the log, or out of order."""
    seeds = [argument for seed in ("2", "12") for argument in ("--seed", seed)]
    bench = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.acceptance.fire", *seeds),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(bench.communicate(), 1_180)

    assert bench.returncode == 0, output.decode()
