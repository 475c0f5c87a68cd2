"""Trials with states of records on a real Kafka; `make state-fire` runs many."""

import asyncio
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.alone


@pytest.mark.timeout(2_400)
async def test_topics_of_states_equal_the_org_whatever_happens(tmp_path: Path) -> None:
    """Daemons, copies, connections and the broker fail; the topics say what the org has, each change once."""
    trials = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.acceptance.state_fire"),
        *("--begin", "2", "--seeds", "2", "--keep", str(tmp_path)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await trials.communicate()

    assert trials.returncode == 0, output.decode()
