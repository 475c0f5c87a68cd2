"""The bench measures correctly, so that its results can be trusted."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.bench.deliveries import instructions
from tests.bench.parts import PARTS

pytestmark = pytest.mark.heavy

_SHOWN = (
    "Streamer ÷ bare probe",
    "plain script ÷ Streamer",
    "CPU a transaction",
    "Streamer ÷ plain script",
    "Streamer ÷ probe that writes nothing",
    "Pub/Sub ÷ CometD: p50",
    "local HTTP target, 1,000 keys",
    "routing to 20 subscribers (2 match)",
    "its predicates by jmespath alone",
    "1,000 keys: worst",
    "1,000 keys: stalls",
    "1,000 keys failing",
    "events behind",
)


# Takeovers and rolling restarts have tests of their own, of the same code.
_PARTS = [part for part in PARTS if part not in ("takeovers", "rolling")]


def test_instructions_of_a_delivery_are_few() -> None:
    """Streamer executes at most 1.7 times the Python instructions of the plain script."""
    ours, script = instructions.run()

    assert 0 < sum(ours.values()) <= 1.7 * sum(script.values()), (ours, script)


async def test_quick_bench_commits_every_event_and_reports(kafka: str, tmp_path: Path) -> None:
    """Small counts: everything is committed once, and every number is there."""
    file = tmp_path / "bench.json"
    bench = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench", "--quick", "--json", str(file),
        "--only", ",".join(_PARTS),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "STREAMER_KAFKA": kafka, "COLUMNS": "160"},
    )  # fmt: skip
    output, _ = await bench.communicate()

    assert bench.returncode == 0, output.decode()
    found = orjson.loads(file.read_bytes())
    [ours], [probe], plain = (found["drain"][who] for who in ("streamer", "probe", "plain"))
    assert ours["committed"] == probe["committed"] == ours["events"]
    assert 0 < ours["cpu_us_per_event"] < plain["cpu_us_per_event"]
    assert found["drain"]["ratios"][0]["median"] == ours["cpu_us_per_event"] / probe["cpu_us_per_event"]
    [latency] = found["latency"]["streams"]
    assert 0 < latency["p50_ms"] <= latency["p99_ms"]
    assert 0 < latency["cpu_us_per_event"] <= latency["cpu_us_per_transaction"]
    _check_pubsub(found)
    _check_deliveries(found)
    _check_routing(found)
    assert found["machine"]["cpu"]
    for words in _SHOWN:
        assert words in output.decode()


def _check_pubsub(found: dict[str, Any]) -> None:
    probes = ("receiving_probe", "writing_probe")
    [ours], [receiving], [writing] = (found["pubsub"][who] for who in ("streamer", *probes))
    assert ours["committed"] == writing["committed"] == ours["events"] == receiving["events"]
    assert 0 < receiving["cpu_us_per_event"] < writing["cpu_us_per_event"]
    ratio = found["pubsub"]["ratios"][0]
    assert ratio["median"] == ours["cpu_us_per_event"] / receiving["cpu_us_per_event"]
    for transport in ("cometd", "pubsub"):
        [latency] = found["pubsub-latency"]["streams"][transport]
        assert 0 < latency["p50_ms"] <= latency["p99_ms"]


def _check_deliveries(found: dict[str, Any]) -> None:
    for who in ("streamer", "script"):
        rates = found["deliveries"][who]
        assert list(rates) == ["1", "1000"]
        for rate in [*rates["1"], *rates["1000"]]:
            assert min(rate["per_s"], rate["cpu_us_per_delivery"]) > 0
            assert (rate["repeated"], rate["out_of_order"]) == (0, 0)
    assert len(found["deliveries"]["ratios"]) == 4
    for who in ("streamer", "script"):
        streams = found["trickle"][who]
        assert list(streams) == ["1", "1000"]
        for stream in [*streams["1"], *streams["1000"]]:
            assert stream["p50_ms"] <= stream["p99_ms"] <= stream["max_ms"]
            assert stream["p99_ms"] > 0
            assert (stream["repeated"], stream["out_of_order"]) == (0, 0)
    failing = found["failing-key"]
    [with_one], [with_none] = failing["per_s_with"], failing["per_s_without"]
    assert min(with_one, with_none) > 0
    assert (failing["repeated"], failing["out_of_order"]) == (0, 0)
    assert found["memory"]["behind"] > 0


def _check_routing(found: dict[str, Any]) -> None:
    [routed], [enriched] = (found["routing"][what] for what in ("routed", "enriched"))
    assert (routed["subscribers"], routed["shaped"]) == (20, 2 * routed["events"])
    # It takes 0.9 of jmespath's time as a rule, and reading a tenth of it.
    assert 0 < found["routing"]["ratios"][0]["median"] < 4
    assert 0 < routed["reading_us_per_record"] < routed["jmespath_us_per_event"]
    assert enriched["rate"]["events"] == routed["events"]
    assert 0.5 < enriched["cached"] < 1
