"""`make bench`: a backlog, beside a plain script; latency; takeovers; deliveries. On a real Kafka."""

import argparse
import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from streamer.observe import logs
from tests.bench.deliveries.measuring import Deliveries, deliveries_of
from tests.bench.ingest.measuring import Bench, Stream
from tests.bench.ingest.org import sandbox_process
from tests.bench.machine import described
from tests.bench.ownership.rolling import rolling_of
from tests.bench.ownership.takeovers import Rounds, takeovers_of
from tests.bench.results import Results


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured."""

    backlog: int
    drains: int
    plain: int
    stream: Stream
    rounds: Rounds
    processes: int
    deliveries: Deliveries


_FULL = Size(
    backlog=100_000,
    drains=3,
    plain=10_000,
    stream=Stream(events=10_000, per_second=500, times=3),
    rounds=Rounds(times=3, session_s=6.0),
    processes=3,
    deliveries=Deliveries(
        events={1: 3_000, 10: 10_000, 1_000: 20_000, 100_000: 100_000},
        stream=2_000,
        per_second=200,
        plain=2_000,
        times=3,
        behind=1_000_000,
        looked_s=20.0,
    ),
)
_QUICK = Size(
    backlog=4_000,
    drains=1,
    plain=300,
    stream=Stream(events=400, per_second=400, times=1),
    rounds=Rounds(times=1, session_s=3.0),
    processes=2,
    deliveries=Deliveries(
        events={1: 100, 1_000: 2_000},
        stream=100,
        per_second=200,
        plain=100,
        times=1,
        behind=10_000,
        looked_s=1.0,
    ),
)


def main() -> int:
    """Measure, show, and return 0 only if every event was committed, once."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small counts: whether it works, not how fast")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to FILE")
    chosen = parser.parse_args()
    kafka = os.environ.get("STREAMER_KAFKA")
    if not kafka:
        parser.error("STREAMER_KAFKA names no broker: use `make bench`, which starts one")
    # What is measured logs for itself; here it would break up the progress bars.
    logs.configure("console", "error")
    results = asyncio.run(_measured(_QUICK if chosen.quick else _FULL, kafka))
    results.show(Console())
    if chosen.json:
        chosen.json.write_bytes(orjson.dumps(results.as_json(), option=orjson.OPT_INDENT_2) + b"\n")
    return 0 if results.complete else 1


async def _measured(size: Size, kafka: str) -> Results:
    machine = described()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        async with sandbox_process() as org:
            bench = Bench(org=org, kafka=kafka)
            task = progress.add_task("making the backlog", total=size.backlog)
            await org.change(size.backlog, records=size.backlog // 10)
            progress.update(task, completed=size.backlog)

            task = progress.add_task("draining it", total=size.backlog * size.drains)
            drains = [
                await bench.drain(size.backlog, lambda count: progress.advance(task, count))
                for _ in range(size.drains)
            ]
            plain_task = progress.add_task("plain script", total=size.plain)
            plain = await bench.plain(size.plain)
            progress.update(plain_task, completed=size.plain)

            total = size.backlog + size.stream.events * size.stream.times
            latency_task = progress.add_task("latency", total=total)
            latencies = await bench.latencies(
                size.stream,
                backlog=size.backlog,
                progress=lambda count: progress.advance(latency_task, count),
            )
        task = progress.add_task("takeovers", total=size.rounds.times * 3)
        takeovers = await takeovers_of(kafka, size.rounds, lambda: progress.advance(task))
        task = progress.add_task("rolling restart", total=size.processes)
        rolling = await rolling_of(
            kafka,
            processes=size.processes,
            session_s=size.rounds.session_s,
            progress=lambda: progress.advance(task),
        )
        deliveries_task = progress.add_task("deliveries", total=size.deliveries.total)
        deliveries = await deliveries_of(
            kafka, size.deliveries, lambda count: progress.advance(deliveries_task, count)
        )
    return Results(
        machine=machine,
        drains=drains,
        plain=plain,
        latencies=latencies,
        takeovers=takeovers,
        rolling=rolling,
        deliveries=deliveries,
    )


if __name__ == "__main__":
    sys.exit(main())
