"""Measures the pauses of channels while the processes that share them are replaced one after the other."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from streamer.clock import SystemClock
from streamer.sandbox.targets import FulfillmentReceiver
from tests.acceptance.fire.findings import Deliveries
from tests.arrivals import Arrivals
from tests.bench.ingest.org import Org, sandbox_process
from tests.bench.ownership.results import Rolling
from tests.configuration import sandbox_configuration, written
from tests.ingest_group import IngestGroup
from tests.rolling import RollingRestart
from tests.waiting import until

# Their checkpoints are in two partitions.
_ENTITIES = ("Account", "Contact")
_PER_SECOND = 100
_RECORDS_A_SECOND = 5
_CAUGHT_UP_S = 180.0


async def rolling_of(
    kafka: str, *, processes: int, session_s: float, progress: Callable[[], object]
) -> Rolling:
    """Replace so many processes while events stream; `progress` is called after each."""
    async with (
        sandbox_process() as org,
        FulfillmentReceiver(SystemClock()) as target,
        _restart(org, target, kafka, processes, session_s) as restart,
    ):
        sending = [asyncio.create_task(_send(org, entity), name=entity) for entity in _ENTITIES]
        async with restart.ready():
            paused_s = await restart.run(progress)
            for task in sending:
                task.cancel()
            sent = await org.sent()
            await _caught_up(sent, restart.arrivals, target)
    ids = [each.id for each in restart.arrivals.all]
    deliveries = Deliveries.of(target.journal)
    return Rolling(
        processes=processes,
        session_s=session_s,
        paused_s={topic.split(".", 1)[1]: waited_s for topic, waited_s in sorted(paused_s.items())},
        sent=sent,
        committed=len(set(ids)),
        delivered=len(deliveries.first),
        repeated_in_log=len(ids) - len(set(ids)),
        repeated_to_target=len(deliveries.again),
    )


@asynccontextmanager
async def _restart(
    org: Org, target: FulfillmentReceiver, kafka: str, processes: int, session_s: float
) -> AsyncIterator[RollingRestart]:
    name = f"roll{uuid.uuid4().hex[:8]}"
    log = {"bootstrap_servers": kafka, "prefix": f"of-{name}", "topic": name + ".{kind}.{name}"}
    subscriber = {
        "uses": "fulfillment",
        "on": "salesforce.*",
        "start": "earliest",
        "settings": {"url": target.url, "order": "id"},
    }
    settings = sandbox_configuration(
        org.url, log={"kafka": {**log, "session_timeout_s": session_s}}, subscribers={"orders": subscriber}
    )
    settings["channels"] = [
        {"path": f"/data/{entity}ChangeEvent", "start": "earliest"} for entity in _ENTITIES
    ]
    with TemporaryDirectory(prefix="streamer-bench-") as directory:
        config = written(Path(directory), settings)
        async with Arrivals.reading(kafka, prefix=name) as arrivals:
            yield RollingRestart(
                config=config,
                processes=processes,
                topics=len(_ENTITIES),
                group=IngestGroup(kafka, prefix=f"of-{name}"),
                arrivals=arrivals,
            )


async def _send(org: Org, entity: str) -> None:
    while True:
        await org.change(_PER_SECOND, records=_RECORDS_A_SECOND, per_second=_PER_SECOND, entity=entity)
        await asyncio.sleep(1.0)


async def _caught_up(sent: int, arrivals: Arrivals, target: FulfillmentReceiver) -> None:
    async def all_arrived() -> bool:
        return len(arrivals.all) >= sent and len(Deliveries.of(target.journal).first) >= sent

    with suppress(AssertionError):
        await until(all_arrived, every_s=0.1)
