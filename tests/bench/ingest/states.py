"""Record states: the CPU of a state beside the CPU of the change that leads to it, in one run."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from prometheus_client import CollectorRegistry

from streamer.clock import SystemClock
from streamer.events import Start
from streamer.log.kafka.log import KafkaLog
from streamer.observe.state_metrics import StateMetrics
from streamer.ports import Subscription
from streamer.settings import KafkaLogSettings
from streamer.state.keeper import StateKeeper
from streamer.state.readings import StateReadings
from tests.bench.ingest.pubsub_measuring import PubSubBench
from tests.bench.results import Part, Ratio, Row, measured
from tests.configuration import CHANGES
from tests.waiting import until

_ENTITY = "Account"
_LOOK_S = 0.05


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


class _FromTheBeginning(StateKeeper):
    """Keeper that reads the changes that were in the log before it."""

    @property
    def subscription(self) -> Subscription:
        """Selection from the first event on."""
        return replace(super().subscription, start=Start.EARLIEST)


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
    """Keep the states in this process; return how many were written, and the seconds of CPU."""
    clock, registry = SystemClock(), CollectorRegistry()

    def written() -> float:
        return registry.get_sample_value("streamer_states_written_total", {"entity": _ENTITY}) or 0.0

    with TemporaryDirectory(prefix="streamer-bench-") as folder:
        settings = KafkaLogSettings(
            bootstrap_servers=kafka,
            prefix=prefix,
            topic=f"{prefix}.{{kind}}.{{name}}",
            state_topic=f"{prefix}.state.{{name}}",
            state_directory=Path(folder),
        )
        async with KafkaLog.open(settings, clock) as log:
            keeper = _FromTheBeginning(
                log=log,
                clock=clock,
                readings=StateReadings.of([_ENTITY], [CHANGES], log, clock),
                metrics=StateMetrics(registry),
            )
            began = time.process_time()
            keeping = asyncio.create_task(keeper.run())
            try:
                await until(lambda: written() >= changes, every_s=_LOOK_S, progress=written)
                return int(written()), time.process_time() - began
            finally:
                keeping.cancel()
                await asyncio.wait([keeping])
