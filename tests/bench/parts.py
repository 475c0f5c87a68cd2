"""The parts of the bench, and the size of each measurement."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial

from rich.progress import Progress

from tests.bench.deliveries.measuring import DeliveryBench
from tests.bench.deliveries.measuring import Stream as Trickle
from tests.bench.formats import formats_of
from tests.bench.ingest.measuring import IngestBench
from tests.bench.ingest.org import sandbox_process
from tests.bench.ingest.pubsub_measuring import PubSubBench
from tests.bench.ingest.states import states_of
from tests.bench.ingest.steady_stream import Stream
from tests.bench.ownership.rolling import rolling_of
from tests.bench.ownership.takeovers import Rounds, takeovers_of
from tests.bench.results import Part
from tests.bench.routing.measuring import RoutingBench
from tests.bench.starting.measuring import idle_of, starts_of

PARTS = (
    *("drain", "latency", "pubsub", "pubsub-latency", "takeovers", "rolling"),
    *("deliveries", "routing", "trickle", "failing-key", "busy-target", "memory"),
    *("start", "idle", "formats", "states"),
)
"""Their names: of ingest, of processes that go away, of deliveries, and of processes that do nothing."""

_INGEST = frozenset({"drain", "latency"})
_DELIVERIES = frozenset({"deliveries", "routing", "trickle", "failing-key", "busy-target", "memory"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """The amounts to measure, and how many rounds of each.

    Daemons drain a `backlog` over CometD and a `pubsub_backlog` over the
    Pub/Sub API, and at least `warm_up` events before a stream over either.
    `deliveries` are events by the number of their keys, and `routing` are events
    that are routed; if `routing_compared`, they are delivered as they are, too.
    With `behind` events of `behind_keys` waiting, memory is watched for
    `looked_s`, and an idle daemon for `idle_s`. `formats` events are appended in
    each format, beside the `backlog` over the Pub/Sub API.
    """

    rounds: int
    backlog: int
    pubsub_backlog: int
    plain: int
    stream: Stream
    warm_up: int
    session_s: float
    processes: int
    deliveries: Mapping[int, int]
    routing: int
    routing_compared: bool
    trickle: Trickle
    failing: int
    busy: int
    behind_keys: int
    behind: int
    looked_s: float
    idle_s: float
    formats: int


FULL = Size(
    rounds=3,
    backlog=100_000,
    pubsub_backlog=200_000,
    plain=10_000,
    stream=Stream(events=10_000, per_second=500),
    warm_up=20_000,
    session_s=6.0,
    processes=3,
    deliveries={1: 10_000, 10: 20_000, 1_000: 30_000, 100_000: 100_000},
    routing=10_000,
    routing_compared=True,
    trickle=Trickle(events=2_000, per_second=200, keys=(1, 10, 1_000, 100_000), backlog=2_000),
    failing=30_000,
    busy=6_000,
    behind_keys=100_000,
    behind=1_000_000,
    looked_s=20.0,
    idle_s=60.0,
    formats=20_000,
)
QUICK = Size(
    rounds=1,
    backlog=4_000,
    pubsub_backlog=4_000,
    plain=300,
    stream=Stream(events=400, per_second=400),
    warm_up=400,
    session_s=3.0,
    processes=2,
    deliveries={1: 100, 1_000: 2_000},
    routing=200,
    routing_compared=False,
    trickle=Trickle(events=100, per_second=200, keys=(1, 1_000), backlog=100),
    failing=2_000,
    busy=400,
    behind_keys=1_000,
    behind=2_000,
    looked_s=1.0,
    idle_s=1.0,
    formats=2_000,
)


async def parts_of(only: Collection[str], size: Size, kafka: str, progress: Progress) -> dict[str, Part]:
    """Measure those of `PARTS` that are in `only`, in their order; raises `Unequal`."""
    parts: dict[str, Part] = {}
    if _INGEST & set(only):
        parts |= await _ingest(only, size, kafka, progress)
    if "pubsub" in only:
        parts["pubsub"] = await _pubsub(size, kafka, progress)
    if "pubsub-latency" in only:
        parts["pubsub-latency"] = await _pubsub_latency(size, kafka, progress)
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
    if _DELIVERIES & set(only):
        parts |= await _deliveries(only, size, kafka, progress)
    if "formats" in only:
        parts["formats"] = await _formats(size, kafka, progress)
    if "states" in only:
        parts["states"] = await _states(size, kafka, progress)
    return parts | await _doing_nothing(only, size, progress)


async def _doing_nothing(only: Collection[str], size: Size, progress: Progress) -> dict[str, Part]:
    parts: dict[str, Part] = {}
    if "start" in only:
        task = progress.add_task("starts of commands", total=size.rounds)
        parts["start"] = await asyncio.to_thread(starts_of, size.rounds, partial(progress.advance, task))
    if "idle" in only:
        task = progress.add_task("idle daemon", total=1)
        parts["idle"] = await idle_of(size.idle_s)
        progress.advance(task)
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


async def _pubsub(size: Size, kafka: str, progress: Progress) -> Part:
    events = size.pubsub_backlog
    async with sandbox_process() as org:
        task = progress.add_task("making the Pub/Sub backlog", total=events)
        await org.change(events, records=events // 10)
        progress.update(task, completed=events)
        task = progress.add_task("draining it", total=3 * size.rounds * events)
        return await PubSubBench(org=org, kafka=kafka).drains(
            backlog=events, rounds=size.rounds, progress=partial(progress.advance, task)
        )


async def _formats(size: Size, kafka: str, progress: Progress) -> Part:
    async with sandbox_process() as org:
        await org.change(size.backlog, records=size.backlog // 10)
        each = size.backlog + size.formats
        task = progress.add_task("formats of events", total=2 * size.rounds * each)
        return await formats_of(
            PubSubBench(org=org, kafka=kafka),
            backlog=size.backlog,
            events=size.formats,
            rounds=size.rounds,
            progress=partial(progress.advance, task),
        )


async def _states(size: Size, kafka: str, progress: Progress) -> Part:
    async with sandbox_process() as org:
        # The changes are in the order in which the org makes them: a record is created, and then updated.
        await org.change(size.backlog, records=size.backlog // 10)
        task = progress.add_task("states of records", total=2 * size.rounds * size.backlog)
        return await states_of(
            PubSubBench(org=org, kafka=kafka),
            changes=size.backlog,
            rounds=size.rounds,
            progress=partial(progress.advance, task),
        )


async def _pubsub_latency(size: Size, kafka: str, progress: Progress) -> Part:
    async with sandbox_process() as org:
        task = progress.add_task("latency over both transports", total=2 * size.rounds * size.stream.events)
        # A daemon that has just started is slower.
        await org.change(size.warm_up, records=size.warm_up // 10)
        return await PubSubBench(org=org, kafka=kafka).latencies(
            size.stream, rounds=size.rounds, progress=partial(progress.advance, task)
        )


async def _deliveries(only: Collection[str], size: Size, kafka: str, progress: Progress) -> dict[str, Part]:
    parts: dict[str, Part] = {}
    async with DeliveryBench.on(kafka, rounds=size.rounds) as bench:
        if "deliveries" in only:
            task = progress.add_task("deliveries", total=2 * size.rounds * sum(size.deliveries.values()))
            parts["deliveries"] = await bench.rates(size.deliveries, partial(progress.advance, task))
        if "routing" in only:
            parts["routing"] = await _routing(bench, size, progress)
        if "trickle" in only:
            streams = 2 * size.rounds * len(size.trickle.keys)
            task = progress.add_task("trickle", total=streams * size.trickle.events)
            parts["trickle"] = await bench.trickles(size.trickle, partial(progress.advance, task))
        if "failing-key" in only:
            task = progress.add_task("failing key", total=2 * size.rounds * size.failing)
            parts["failing-key"] = await bench.failing_key(size.failing, partial(progress.advance, task))
        if "busy-target" in only:
            task = progress.add_task("busy target", total=size.rounds * size.busy)
            advance = partial(progress.advance, task)
            parts["busy-target"] = await bench.busy_target(size.behind_keys, size.busy, advance)
        if "memory" in only:
            task = progress.add_task("memory", total=size.behind)
            parts["memory"] = await bench.memory(size.behind_keys, size.behind, size.looked_s)
            progress.update(task, completed=size.behind)
    return parts


async def _routing(bench: DeliveryBench, size: Size, progress: Progress) -> Part:
    passes = 3 if size.routing_compared else 2
    task = progress.add_task("routing", total=passes * size.rounds * size.routing)
    async with sandbox_process() as org:
        routing = RoutingBench(deliveries=bench, org=org, compares=size.routing_compared)
        return await routing.routing(size.routing, partial(progress.advance, task))
