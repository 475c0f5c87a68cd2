"""The measurements of deliveries, on one broker and one target, each with topics of its own."""

import asyncio
import time
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from streamer.log.kafka.log import KafkaLog
from tests.bench.deliveries.filled_log import Deliverer, FilledLog, daemon, plain_script, streamer
from tests.bench.deliveries.http_target import Delivery, Request, RunningTarget, target_process
from tests.bench.deliveries.results import Backlog, BusyTarget, FailingKey, Rate, Rates, Trickle, Trickles
from tests.bench.events import record_id
from tests.bench.results import Unequal
from tests.bench.usage import Usage, resident_mb
from tests.waiting import until

_FAILING_AMONG = 1_000
_DEADLINE_S = 600.0
_WORKERS = 16
_SERVICE_S = 0.05
_LOOK_S = 0.05
# These name the client and the port, which differ for a good reason.
_OF_THE_CLIENT = frozenset({"host", "user-agent"})

Progress = Callable[[int], object]
"""Is told how many events have passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """So many events at a steady rate, for each number of keys, after a backlog of so many."""

    events: int
    per_second: float
    keys: Sequence[int]
    backlog: int


@dataclass(slots=True, kw_only=True)
class DeliveryBench:
    """Measures on one broker and one target, `rounds` times in turn."""

    kafka: str
    target: RunningTarget
    rounds: int
    _logs: dict[tuple[int, int], FilledLog] = field(default_factory=dict)

    @classmethod
    @asynccontextmanager
    async def on(cls, kafka: str, *, rounds: int) -> AsyncIterator["DeliveryBench"]:
        """Measure with a target that runs as long as the context."""
        async with target_process() as target:
            yield cls(kafka=kafka, target=target, rounds=rounds)

    async def rates(self, events: Mapping[int, int], progress: Progress) -> Rates:
        """Deliver so many events of each number of keys by Streamer and by the plain script in turn.

        Raises `Unequal` when the script sends other requests than Streamer.
        """
        ours: dict[int, list[Rate]] = {keys: [] for keys in events}
        script: dict[int, list[Rate]] = {keys: [] for keys in events}
        for keys, count in events.items():
            log = await self._filled(keys, count)
            for _ in range(self.rounds):
                rate, request = await self.rate(streamer, log, count, progress)
                ours[keys].append(rate)
                rate, request_of_script = await self.rate(plain_script, log, count, progress)
                script[keys].append(rate)
                _check_equal(request, request_of_script)
        return Rates(streamer=ours, script=script)

    async def rate(
        self, deliverer: Deliverer, log: FilledLog, events: int, progress: Progress
    ) -> tuple[Rate, Request]:
        """Deliver `log` by `deliverer`, and return how that went, and the request of the first event.

        The order of a delivery is the id of its event.
        """
        await self.target.answers(kept=log.event(0, record_id(0, log.keys)).id)
        async with deliverer(log, self.target.url) as pid, Usage.watching(pid) as usage:
            await self._taken(events, progress)
            await asyncio.sleep(_LOOK_S)
            journal = await self.target.journal()
            used_s = usage.cpu_s(journal[0].at, journal[-1].at)
        rate = Rate(
            keys=log.keys,
            events=events,
            per_s=_per_s(journal),
            cpu_us_per_delivery=used_s / (len(journal) - 1) * 1e6,
            resident_mb=usage.resident_mb,
            repeated=_repeated(journal),
            out_of_order=_out_of_order(journal),
        )
        return rate, await self.target.kept()

    async def trickles(self, stream: Stream, progress: Progress) -> Trickles:
        """Stream events of few keys and of many to Streamer, and then to the plain script.

        Each is one process all the time, which has just delivered what was there before.
        """
        filled = self._log(keys=stream.keys[0])
        async with filled.open() as log:
            await filled.fill(log, stream.backlog)
            return Trickles(
                streamer=await self._trickles(streamer, filled, log, stream, progress),
                script=await self._trickles(plain_script, filled, log, stream, progress),
            )

    async def failing_key(self, events: int, progress: Progress) -> FailingKey:
        """Compare a target that fails one of 1,000 keys with one that fails none, in turn."""
        nobody, somebody = [], []
        refused = events // _FAILING_AMONG
        log = await self._filled(_FAILING_AMONG, events)
        for _ in range(self.rounds):
            await self.target.answers()
            nobody.append(await self._delivered(log, events, progress))
            await self.target.answers(refused_key=record_id(0, _FAILING_AMONG))
            somebody.append(await self._delivered(log, events - refused, progress))
        return FailingKey(
            keys=_FAILING_AMONG,
            per_s_without=[_per_s(each) for each in nobody],
            per_s_with=[_per_s(each) for each in somebody],
            repeated=sum(map(_repeated, (*nobody, *somebody))),
            out_of_order=sum(map(_out_of_order, (*nobody, *somebody))),
        )

    async def busy_target(self, keys: int, events: int, progress: Progress) -> BusyTarget:
        """Deliver to a target that serves 16 at once, each in 50 ms."""
        log, found = await self._filled(keys, events), []
        for _ in range(self.rounds):
            await self.target.answers(slow_s=_SERVICE_S, workers=_WORKERS)
            journal = await self._delivered(log, events, progress)
            # At first the limit has to be found.
            late = sorted((await self.target.waits())[events // 2 :])
            half = journal[events // 2 :]
            found.append((_per_s(half), late[len(late) // 2]))
        return BusyTarget(
            workers=_WORKERS,
            service_s=_SERVICE_S,
            per_s=[per_s for per_s, _ in found],
            wait_s=[wait_s for _, wait_s in found],
        )

    async def memory(self, keys: int, events: int, looked_s: float) -> Backlog:
        """Look for `looked_s` at the memory of a daemon that has `events` before it, and a slow target.

        From when it knows of them: being ready says no more than that it runs.
        """
        await self.target.answers(slow_s=0.5)
        async with daemon(await self._filled(keys, events), self.target.url) as process:
            await process.ready()

            async def behind() -> float:
                return await process.metric("streamer_delivery_lag_events")

            await until(behind)
            most, end = 0.0, time.monotonic() + looked_s
            while time.monotonic() < end:
                most = max(most, resident_mb(process.pid))
                await asyncio.sleep(_LOOK_S)
            left = await behind()
            await process.kill()
        return Backlog(events=events, behind=int(left), resident_mb=most)

    async def _trickles(
        self, deliverer: Deliverer, filled: FilledLog, log: KafkaLog, stream: Stream, progress: Progress
    ) -> dict[int, list[Trickle]]:
        found: dict[int, list[Trickle]] = {keys: [] for keys in stream.keys}
        await self.target.answers()
        async with deliverer(filled, self.target.url):
            await self._taken(filled.events, _unseen)
            for _ in range(self.rounds):
                for keys in stream.keys:
                    filled.keys = keys
                    await self.target.answers()
                    readable = await filled.stream(log, stream.events, stream.per_second)
                    await self._taken(stream.events, progress)
                    journal = await self.target.journal()
                    found[keys].append(_trickle(readable, journal, filled, stream))
        return found

    async def _delivered(self, log: FilledLog, events: int, progress: Progress) -> list[Delivery]:
        async with streamer(log, self.target.url):
            await self._taken(events, progress)
            return await self.target.journal()

    async def _filled(self, keys: int, events: int) -> FilledLog:
        if (keys, events) not in self._logs:
            filled = self._log(keys=keys)
            async with filled.open() as log:
                await filled.fill(log, events)
            self._logs[keys, events] = filled
        return self._logs[keys, events]

    def _log(self, *, keys: int) -> FilledLog:
        return FilledLog(kafka=self.kafka, name=f"deliver{uuid.uuid4().hex[:8]}", keys=keys)

    async def _taken(self, events: int, progress: Progress) -> None:
        shown = 0

        async def has_taken() -> bool:
            nonlocal shown
            now = await self.target.count()
            progress(now - shown)
            shown = now
            return now >= events

        await until(has_taken, every_s=_LOOK_S)


def _unseen(_: int) -> None:
    """Show no progress."""


def _trickle(
    readable: Mapping[str, float], journal: Sequence[Delivery], log: FilledLog, stream: Stream
) -> Trickle:
    first = dict(reversed(journal))
    return Trickle.of(
        [max(0.0, first[name] - at) * 1000 for name, at in readable.items()],
        keys=log.keys,
        per_second=stream.per_second,
        repeated=_repeated(journal),
        out_of_order=_out_of_order(journal),
    )


def _per_s(journal: Sequence[Delivery]) -> float:
    return (len(journal) - 1) / (journal[-1].at - journal[0].at)


def _repeated(journal: Sequence[Delivery]) -> int:
    return len(journal) - len(dict(journal))


def _out_of_order(journal: Sequence[Delivery]) -> int:
    """Return how many events came after a later one of their key."""
    last: dict[str, str] = defaultdict(str)
    late = 0
    for order, _ in journal:
        key = order.rpartition(":")[2]
        late += order < last[key]
        last[key] = max(last[key], order)
    return late


def _check_equal(ours: Request, script: Request) -> None:
    """Compare what both sent for the same event; raises `Unequal`."""
    for what, one, other in (
        ("request line", ours.line, script.line),
        ("headers", _comparable(ours.headers), _comparable(script.headers)),
        ("body", ours.body, script.body),
    ):
        if one != other:
            raise Unequal(
                f"the plain script does not send what Streamer sends: the {what} differ:\n"
                f"  Streamer {one}\n  script   {other}"
            )


def _comparable(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in sorted(headers.items()) if name not in _OF_THE_CLIENT}
