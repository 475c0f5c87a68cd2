"""The measurements of deliveries, on one broker and one target, each with topics of its own."""

import asyncio
import time
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

from tests.bench.deliveries.filled_log import Deliverer, FilledLog, daemon, plain_script, streamer
from tests.bench.deliveries.http_target import Delivery, Request, RunningTarget, target_process
from tests.bench.deliveries.results import Backlog, FailingKey, Rate, Rates, Trickle, Trickles
from tests.bench.events import a_change, record_id
from tests.bench.results import Unequal
from tests.bench.usage import Usage, resident_mb
from tests.daemon import until

_FAILING_AMONG = 1_000
_DEADLINE_S = 600.0
_LOOK_S = 0.05
# Each client names itself, where it calls and how long what follows is.
_OF_THE_CLIENT = frozenset({"host", "user-agent"})

Progress = Callable[[int], object]
"""Is told how many events have passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """So many events at a steady rate, for each number of keys, behind a backlog of so many."""

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
    _unique: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    _logs: int = 0

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
            async with self._filled(keys, count) as log:
                for _ in range(self.rounds):
                    rate, request = await self._rate(streamer, log, count, progress)
                    ours[keys].append(rate)
                    rate, request_of_script = await self._rate(plain_script, log, count, progress)
                    script[keys].append(rate)
                    _check_equal(request, request_of_script)
        return Rates(streamer=ours, script=script)

    async def trickles(self, stream: Stream, progress: Progress) -> Trickles:
        """Stream events to a daemon that has just delivered a backlog, for few keys and many."""
        return Trickles(streams={keys: await self._trickles(keys, stream, progress) for keys in stream.keys})

    async def failing_key(self, events: int, progress: Progress) -> FailingKey:
        """Compare a target that fails one of 1,000 keys with one that fails none, in turn."""
        nobody, somebody = [], []
        refused = events // _FAILING_AMONG
        async with self._filled(_FAILING_AMONG, events) as log:
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

    async def memory(self, events: int, looked_s: float, progress: Progress) -> Backlog:
        """Look for `looked_s` at the memory of a daemon that has `events` before it, and a slow target.

        From when it knows of them: being ready says no more than that it runs.
        """
        await self.target.answers(slow_s=0.5)
        async with self._filled(100_000, events) as log, daemon(log, self.target.url) as process:
            await process.ready()

            async def behind() -> float:
                return await process.metric("streamer_delivery_lag_events")

            await until(behind, within_s=_DEADLINE_S)
            most, end = 0.0, time.monotonic() + looked_s
            while time.monotonic() < end:
                most = max(most, resident_mb(process.pid))
                await asyncio.sleep(_LOOK_S)
            left = await behind()
            await process.kill()
        progress(events)
        return Backlog(events=events, behind=int(left), resident_mb=most)

    async def _rate(
        self, deliverer: Deliverer, log: FilledLog, events: int, progress: Progress
    ) -> tuple[Rate, Request]:
        await self.target.answers(kept=a_change(0, record_id(0, log.keys)).id)
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

    async def _trickles(self, keys: int, stream: Stream, progress: Progress) -> list[Trickle]:
        found = []
        await self.target.answers()
        async with self._filled(keys, stream.backlog) as log, streamer(log, self.target.url):
            await self._taken(stream.backlog, progress)
            for _ in range(self.rounds):
                await self.target.answers()
                readable = await log.stream(stream.events, stream.per_second)
                await self._taken(stream.events, progress)
                journal = await self.target.journal()
                first = dict(reversed(journal))
                found.append(
                    Trickle.of(
                        [(first[name] - at) * 1000 for name, at in readable.items()],
                        keys=keys,
                        per_second=stream.per_second,
                        repeated=_repeated(journal),
                        out_of_order=_out_of_order(journal),
                    )
                )
        return found

    async def _delivered(self, log: FilledLog, events: int, progress: Progress) -> list[Delivery]:
        async with streamer(log, self.target.url):
            await self._taken(events, progress)
            return await self.target.journal()

    def _filled(self, keys: int, events: int) -> AbstractAsyncContextManager[FilledLog]:
        self._logs += 1
        return FilledLog.of(self.kafka, f"deliver{self._unique}-{self._logs}", keys=keys, events=events)

    async def _taken(self, events: int, progress: Progress) -> None:
        shown = 0

        async def has_taken() -> bool:
            nonlocal shown
            now = await self.target.count()
            progress(now - shown)
            shown = now
            return now >= events

        await until(has_taken, within_s=_DEADLINE_S, every_s=_LOOK_S)


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
