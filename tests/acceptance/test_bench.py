"""The bench measures what it says, so that it can be believed when it is run in earnest."""

import asyncio
import os
import sys
from pathlib import Path

import orjson
import pytest

pytestmark = pytest.mark.heavy

_SHOWN = (
    "CPU an event",
    "owner killed",
    "owner stopped",
    "owner frozen",
    "longest pause of",
    "local HTTP target, 1,000 keys",
    "1,000 keys failing",
    "events behind",
)


@pytest.mark.timeout(900)
async def test_quick_bench_commits_every_event_and_reports(kafka: str, tmp_path: Path) -> None:
    """Small counts: everything is committed once, and every number is there."""
    file = tmp_path / "bench.json"
    bench = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench", "--quick", "--json", str(file),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "STREAMER_KAFKA": kafka, "COLUMNS": "160"},
    )  # fmt: skip
    output, _ = await asyncio.wait_for(bench.communicate(), 880)

    assert bench.returncode == 0, output.decode()
    found = orjson.loads(file.read_bytes())
    assert [drain["committed"] for drain in found["drains"]] == [found["best_drain"]["events"]]
    assert 0 < found["best_drain"]["cpu_us_per_event"] < found["plain"]["cpu_us_per_event"]
    assert 0 < found["best_latency"]["p50_ms"] <= found["best_latency"]["p99_ms"]
    takeovers = found["takeovers"]
    for moment in ("killed_s", "stopped_s", "frozen_s", "let_go_s"):
        assert [0 < seconds < 30 for seconds in takeovers[moment]] == [True]
    assert (takeovers["committed"], takeovers["repeated"]) == (takeovers["sent"], 0)
    rolling = found["rolling"]
    assert len(rolling["paused_s"]) == 2
    assert rolling["sent"] == rolling["committed"] == rolling["delivered"]
    deliveries = found["deliveries"]
    assert [each["keys"] for each in deliveries["delivering"]] == [1, 1_000]
    for each in deliveries["delivering"]:
        assert each["p50_ms"] <= each["p99_ms"] > 0
        assert (each["repeated"], each["out_of_order"]) == (0, 0)
    [with_one], [with_none] = deliveries["failing"]["per_s_with"], deliveries["failing"]["per_s_without"]
    assert min(with_one, with_none) > 0
    assert (deliveries["failing"]["repeated"], deliveries["failing"]["out_of_order"]) == (0, 0)
    assert deliveries["backlog"]["behind"] > 0
    assert found["machine"]["cpu"]
    for words in _SHOWN:
        assert words in output.decode()
