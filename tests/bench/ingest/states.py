"""Record states: the CPU of a state beside the CPU of the change that leads to it, in one run."""

import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import orjson

from tests.bench.ingest.pubsub_measuring import PubSubBench
from tests.bench.results import Part, Ratio, Row, measured


@dataclass(frozen=True, slots=True, kw_only=True)
class States(Part):
    """CPU of a change into Kafka and of the state that follows from it, in microseconds, for each round.

    `written` are the states, and `changes` the changes that led to them.
    """

    change_us: Sequence[float]
    state_us: Sequence[float]
    written: Sequence[int]
    changes: int

    @property
    def complete(self) -> bool:
        """True if each change led to a state."""
        return all(each == self.changes for each in self.written)

    def ratios(self) -> Sequence[Ratio]:
        """Return the state divided by the change."""
        each = [state / change for state, change in zip(self.state_us, self.change_us, strict=True)]
        return [Ratio(what="CPU: a record's state ÷ its change over Pub/Sub", each=each, aim="≤ 1.3")]

    def figures(self) -> Sequence[Row]:
        """Return the figures of both."""
        written = " ".join(f"{each:,}" for each in self.written)
        return [
            Row("states written", written, f"{self.changes:,}"),
            Row("change over Pub/Sub into Kafka, CPU", measured(self.change_us, "{:.1f} µs")),
            Row("state of the record, CPU", measured(self.state_us, "{:.1f} µs")),
        ]


async def states_of(
    bench: PubSubBench, *, changes: int, rounds: int, progress: Callable[[int], object]
) -> States:
    """Let Streamer carry the org's `changes` into Kafka, and keep the states of their records, in turn."""
    change_us, state_us, written = [], [], []
    for _ in range(rounds):
        prefix, drain = await bench.carried(changes, progress)
        change_us.append(drain.cpu_us_per_event)
        count, cpu_s = await _kept(bench.kafka, prefix, changes)
        written.append(count)
        state_us.append(cpu_s / changes * 1e6)
        progress(changes)
    return States(change_us=change_us, state_us=state_us, written=written, changes=changes)


async def _kept(kafka: str, prefix: str, changes: int) -> tuple[int, float]:
    """Keep the states in a process of its own; return how many were written, and the seconds of CPU."""
    command = (sys.executable, "-m", "tests.bench.ingest.state_probe", kafka, prefix, str(changes))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    output = await process.stdout.read()
    if await process.wait():
        raise RuntimeError(f"{' '.join(command)} failed: its output tells why")
    written, cpu_s = orjson.loads(output.splitlines()[-1])
    return written, cpu_s
