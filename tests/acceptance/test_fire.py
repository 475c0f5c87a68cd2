"""Trials of the fault bench on three brokers, over CometD and over the Pub/Sub API; `make fire` runs many."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamer.settings import Transport
from tests.acceptance.fire.findings import Deliveries, Findings
from tests.acceptance.fire.schedule import STREAM_TROUBLES, Kind, profile_of, schedule

_SHOWN_LINES = 25


@pytest.mark.alone
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


def test_seed_draws_the_same_again() -> None:
    """A trial that failed can be looked at; all troubles of a stream are drawn, and both transports."""
    seeds = range(1, 400)
    drawn = [fault for seed in seeds for fault in schedule(seed)]

    assert drawn == [fault for seed in seeds for fault in schedule(seed)]
    assert {profile_of(seed).transport for seed in seeds} == set(Transport)
    troubles = {fault.who for fault in drawn if fault.kind is Kind.STREAM_TROUBLED}
    assert troubles == set(range(len(STREAM_TROUBLES)))


def test_second_step_before_the_first_one_breaks_a_promise() -> None:
    """The bench would be blind to a chain out of turn, because only a mistake of Streamer makes one."""
    arrivals = {"in turn": 2.0, "early": 1.0, "alone": 2.0}
    deliveries = Deliveries(first=arrivals, again=[], accepted=frozenset(arrivals))
    receipts = [{"event_id": event, "delivered_at": 1.5} for event in ("in turn", "early")]
    findings = Findings()

    findings.look_at_chain("packing", deliveries, receipts)

    told = "2 delivered to packing before the upstream receipt: early at 1.00, alone at 2.00"
    assert findings.broken == [told]
