"""After the end of a process, another one soon continues its work, without loss, repetition or disorder."""

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from streamer.sandbox import Sandbox
from streamer.settings import Transport
from tests.acceptance.busy_org import BusyOrg
from tests.acceptance.sent import Seen, by_key, sent_by
from tests.arrivals import Arrivals
from tests.configuration import ORDER_KEY, ORDERS, over_pubsub, sandbox_configuration, written
from tests.ingest_group import IngestGroup
from tests.takeover import Takeover
from tests.waiting import LIMIT_S, until

pytestmark = pytest.mark.heavy

_PER_SECOND = 300.0
_ENDLESS = 10**9
_ACCOUNTS = "/data/AccountChangeEvent"
# Their checkpoints are in three partitions.
_CHANNELS = [
    {"path": _ACCOUNTS, "start": "earliest"},
    {"path": "/data/ContactChangeEvent", "start": "earliest"},
    {"path": ORDERS, "start": "earliest", "key": ORDER_KEY},
]


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A busy org, and two processes that relay it with the settings that users have."""

    sandbox: Sandbox
    arrivals: Arrivals
    takeover: Takeover
    sending: asyncio.Task[None]

    async def check_promises(self) -> None:
        """End the stream; each event was committed once, and those of a key in their order."""
        self.sending.cancel()
        sent = sent_by(self.sandbox)

        async def all_arrived() -> bool:
            return len(self.arrivals.all) >= len(sent)

        await until(all_arrived)
        found = [Seen(each.key, each.id) for each in self.arrivals.all]
        assert Counter(found) == Counter(sent)
        assert by_key(found) == by_key(sent)


@pytest.fixture
def session_s() -> float:
    """Seconds that a process may be silent: the default, unless a test says otherwise."""
    return 6.0


@pytest.fixture
def transport() -> Transport:
    """The way in which the processes read the org, unless a test says otherwise."""
    return Transport.PUBSUB


@pytest.fixture
async def world(
    sandbox: Sandbox, kafka: str, tmp_path: Path, session_s: float, transport: Transport
) -> AsyncIterator[World]:
    """Events stream; the processes start just before the first of them is taken away."""
    unique = f"t{uuid.uuid4().hex[:8]}"
    log = {"bootstrap_servers": kafka, "prefix": f"streamer-{unique}", "topic": unique + ".{kind}.{name}"}
    kafka_log = {**log, "partitions": 3, "session_timeout_s": session_s, "transaction_timeout_s": 2 * LIMIT_S}
    configuration = sandbox_configuration(sandbox.url, log={"kafka": kafka_log})
    if transport is Transport.PUBSUB:
        configuration = over_pubsub(configuration, sandbox.pubsub_address)
    config = written(tmp_path, {**configuration, "channels": _CHANNELS})
    async with Arrivals.reading(kafka, prefix=unique) as arrivals, sending(sandbox) as task:
        takeover = Takeover(
            config=config,
            path=_ACCOUNTS,
            topics=len(_CHANNELS),
            group=IngestGroup(kafka, prefix=f"streamer-{unique}"),
            arrivals=arrivals,
        )
        async with takeover.ready():
            yield World(sandbox=sandbox, arrivals=arrivals, takeover=takeover, sending=task)


@asynccontextmanager
async def sending(sandbox: Sandbox) -> AsyncIterator[asyncio.Task[None]]:
    """Let an org change records and place orders inside the context."""
    org = BusyOrg(sandbox=sandbox, dice=random.Random(4))  # noqa: S311 - chance, no secret
    task = asyncio.create_task(org.send(_ENDLESS, per_second=_PER_SECOND), name="busy org")
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_killed_owner_is_replaced_once_its_session_is_over(world: World) -> None:
    """Its transaction is still open, and nobody waits until the broker ends that: no test is so patient."""
    await world.takeover.by_kill()
    await world.check_promises()


@pytest.mark.parametrize(("session_s", "transport"), [(40.0, Transport.COMETD)])
async def test_stopped_owner_is_replaced_at_once(world: World, session_s: float) -> None:
    """A rolling restart hardly pauses: no process waits for a session to end."""
    assert await world.takeover.by_stop() < session_s * 0.75
    await world.check_promises()


async def test_woken_owner_lets_go_and_serves_again_when_it_is_needed(world: World) -> None:
    """Frozen in mid-transaction and replaced, it commits nothing when it wakes, and takes over in turn."""
    woken = await world.takeover.by_freeze()
    assert woken.zombie.logged("ownership.lost")
    assert await world.takeover.owner() is not woken.zombie

    assert await world.takeover.by_stop() < 20
    assert await world.takeover.owner() is woken.zombie
    await world.check_promises()
