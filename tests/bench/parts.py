"""The parts of the bench, and how much each measures."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial

from rich.progress import Progress

from tests.bench.deliveries.measuring import Deliveries, deliveries_of
from tests.bench.ingest.measuring import IngestBench, Stream
from tests.bench.ingest.org import sandbox_process
from tests.bench.ownership.rolling import rolling_of
from tests.bench.ownership.takeovers import Rounds, takeovers_of
from tests.bench.results import Part

PARTS = ("drain", "latency", "takeovers", "rolling", "deliveries")


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured, and how many times in turn."""

    rounds: int
    backlog: int
    plain: int
    stream: Stream
    session_s: float
    processes: int
    deliveries: Deliveries


FULL = Size(
    rounds=3,
    backlog=100_000,
    plain=10_000,
    stream=Stream(events=10_000, per_second=500),
    session_s=6.0,
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
QUICK = Size(
    rounds=1,
    backlog=4_000,
    plain=300,
    stream=Stream(events=400, per_second=400),
    session_s=3.0,
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


async def parts_of(only: Collection[str], size: Size, kafka: str, progress: Progress) -> dict[str, Part]:
    """Measure those of `PARTS` that are in `only`, in their order; raises `Unequal`."""
    parts: dict[str, Part] = {}
    if {"drain", "latency"} & set(only):
        parts |= await _ingest(only, size, kafka, progress)
    if "takeovers" in only:
        task = progress.add_task("takeovers", total=size.rounds * 3)
        rounds = Rounds(times=size.rounds, session_s=size.session_s)
        parts["takeovers"] = await takeovers_of(kafka, rounds, partial(progress.advance, task))
    if "rolling" in only:
        task = progress.add_task("rolling restart", total=size.processes)
        parts["rolling"] = await rolling_of(
            kafka,
            processes=size.processes,
            session_s=size.session_s,
            progress=partial(progress.advance, task),
        )
    if "deliveries" in only:
        task = progress.add_task("deliveries", total=size.deliveries.total)
        parts["deliveries"] = await deliveries_of(kafka, size.deliveries, partial(progress.advance, task))
    return parts


async def _ingest(only: Collection[str], size: Size, kafka: str, progress: Progress) -> dict[str, Part]:
    parts: dict[str, Part] = {}
    async with sandbox_process() as org:
        task = progress.add_task("making the backlog", total=size.backlog)
        await org.change(size.backlog, records=size.backlog // 10)
        progress.update(task, completed=size.backlog)
        bench = IngestBench(org=org, kafka=kafka, backlog=size.backlog)
        if "drain" in only:
            task = progress.add_task("draining it", total=2 * size.rounds * size.backlog + size.plain)
            parts["drain"] = await bench.drains(
                rounds=size.rounds, plain=size.plain, progress=partial(progress.advance, task)
            )
        if "latency" in only:
            task = progress.add_task("latency", total=size.backlog + size.rounds * size.stream.events)
            parts["latency"] = await bench.latencies(
                size.stream, rounds=size.rounds, progress=partial(progress.advance, task)
            )
    return parts
