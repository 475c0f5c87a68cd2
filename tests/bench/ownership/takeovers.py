"""Measures the pause of a channel when the process that reads it goes away."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.arrivals import Arrivals
from tests.bench.ingest.org import Org, sandbox_process
from tests.bench.ownership.results import Takeovers
from tests.configuration import CHANGES, sandbox_configuration, written
from tests.ingest_group import IngestGroup
from tests.takeover import Takeover
from tests.waiting import until

_RECORDS_A_SECOND = 5
_CAUGHT_UP_S = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounds:
    """So many times each, with sessions of so many seconds and a steady stream."""

    times: int
    session_s: float
    per_second: int = 200


async def takeovers_of(kafka: str, rounds: Rounds, progress: Callable[[], object]) -> Takeovers:
    """Freeze, kill and stop the owner of a channel in turn; `progress` is called after each."""
    killed_s, stopped_s, frozen_s, let_go_s = [], [], [], []
    async with sandbox_process() as org, _pair(org, kafka, rounds.session_s) as takeover:
        sending = asyncio.create_task(_send(org, rounds.per_second), name="stream")
        for _ in range(rounds.times):
            woken = await takeover.by_freeze()
            frozen_s.append(woken.waited_s)
            let_go_s.append(woken.let_go_s)
            progress()
            killed_s.append(await takeover.by_kill())
            progress()
            stopped_s.append(await takeover.by_stop())
            progress()
        sending.cancel()
        sent, ids = await _counted(org, takeover.arrivals)
    return Takeovers(
        session_s=rounds.session_s,
        killed_s=killed_s,
        stopped_s=stopped_s,
        frozen_s=frozen_s,
        let_go_s=let_go_s,
        sent=sent,
        committed=len(set(ids)),
        repeated=len(ids) - len(set(ids)),
    )


@asynccontextmanager
async def _pair(org: Org, kafka: str, session_s: float) -> AsyncIterator[Takeover]:
    name = f"bench{uuid.uuid4().hex[:8]}"
    log = {"bootstrap_servers": kafka, "prefix": f"of-{name}", "topic": name + ".{kind}.{name}"}
    settings = sandbox_configuration(org.url, log={"kafka": {**log, "session_timeout_s": session_s}})
    settings["channels"] = [{"path": CHANGES, "start": "earliest"}]
    with TemporaryDirectory(prefix="streamer-bench-") as directory:
        config = written(Path(directory), settings)
        async with Arrivals.reading(kafka, prefix=name) as arrivals:
            takeover = Takeover(
                config=config,
                path=CHANGES,
                topics=1,
                group=IngestGroup(kafka, prefix=f"of-{name}"),
                arrivals=arrivals,
            )
            async with takeover.ready():
                yield takeover


async def _send(org: Org, per_second: int) -> None:
    while True:
        await org.change(per_second, records=_RECORDS_A_SECOND, per_second=per_second)
        await asyncio.sleep(1.0)


async def _counted(org: Org, arrivals: Arrivals) -> tuple[int, list[str]]:
    """Return how many events were sent, and the ids of the committed ones, lost and repeated or not."""
    sent = await org.sent()

    async def caught_up() -> bool:
        return len(arrivals.all) >= sent

    with suppress(AssertionError):
        await until(caught_up)
    return sent, [each.id for each in arrivals.all]
