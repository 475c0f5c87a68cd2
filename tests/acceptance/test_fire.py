"""Trials of the fault bench on three brokers, over CometD and over the Pub/Sub API; `make fire` runs many."""

import asyncio
import sys

import pytest

from streamer.settings import Transport
from tests.acceptance.fire.schedule import STREAM_TROUBLES, Kind, profile_of, schedule


@pytest.mark.alone
@pytest.mark.timeout(1_200)
async def test_promises_are_kept_whatever_happens() -> None:
    """Daemons, brokers, networks and the org fail; nothing is lost, repeated in the log, or out of order."""
    seeds = [argument for seed in ("24", "36") for argument in ("--seed", seed)]
    bench = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.acceptance.fire", *seeds),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(bench.communicate(), 1_180)

    assert bench.returncode == 0, output.decode()


def test_seed_draws_the_same_again() -> None:
    """A trial that failed can be looked at; all troubles of a stream are drawn, and both transports."""
    seeds = range(1, 400)
    drawn = [fault for seed in seeds for fault in schedule(seed)]

    assert drawn == [fault for seed in seeds for fault in schedule(seed)]
    assert {profile_of(seed).transport for seed in seeds} == set(Transport)
    troubles = {fault.who for fault in drawn if fault.kind is Kind.STREAM_TROUBLED}
    assert troubles == set(range(len(STREAM_TROUBLES)))
