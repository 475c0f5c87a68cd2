"""Keeper of record states in a process of its own, which measures its CPU.

`python -m tests.bench.ingest.state_probe KAFKA PREFIX COUNT` reads all changes of the
object Account that Streamer has written with PREFIX, and ends when COUNT states are
written. Its last line of output tells how many were written, and the seconds of CPU, as a list in JSON.
"""

import asyncio
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson
from prometheus_client import CollectorRegistry

from streamer.clock import SystemClock
from streamer.events import Start
from streamer.log.kafka.log import KafkaLog
from streamer.observe.state_metrics import StateMetrics
from streamer.ports import Subscription
from streamer.settings import KafkaLogSettings
from streamer.state.keeper import StateKeeper
from streamer.state.readings import StateReadings
from tests.bench.ingest.probe_process import run
from tests.configuration import CHANGES
from tests.waiting import until

_ENTITY = "Account"
_LOOK_S = 0.05


class _FromTheBeginning(StateKeeper):
    """Keeper that reads the changes that were in the log before it."""

    @property
    def subscription(self) -> Subscription:
        """Selection from the first event on."""
        return replace(super().subscription, start=Start.EARLIEST)


async def keep(kafka: str, prefix: str, count: str) -> None:
    """Keep the states until there are so many."""
    clock, registry, changes = SystemClock(), CollectorRegistry(), int(count)

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
                found = [int(written()), time.process_time() - began]
            finally:
                keeping.cancel()
                await asyncio.wait([keeping])
    sys.stdout.buffer.write(b"\n" + orjson.dumps(found))


if __name__ == "__main__":
    run(keep(*sys.argv[1:]))
