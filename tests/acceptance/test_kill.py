"""A daemon that is killed again and again loses nothing, repeats nothing and keeps the order."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from streamer.sandbox import Sandbox
from streamer.settings import Transport
from tests.acceptance.busy_org import BusyOrg
from tests.acceptance.kept import Kept
from tests.acceptance.sent import by_key, sent_by
from tests.configuration import over_pubsub, sandbox_configuration, written
from tests.daemon import Daemon
from tests.waiting import reached, until

_MESSAGES = 20_000
_KILLS = 4
_PER_SECOND = 5_000.0


@pytest.mark.parametrize(
    ("kept", "transport"),
    # For SQLite over the Pub/Sub API, test_stream_faults has the kills.
    [("sqlite", Transport.COMETD), ("kafka", Transport.COMETD), ("kafka", Transport.PUBSUB)],
    indirect=["kept"],
)
async def test_killed_run_holds_every_event_once_and_in_order(
    sandbox: Sandbox, kept: Kept, tmp_path: Path, transport: Transport
) -> None:
    """Twenty thousand messages through five kills at random moments: each event once, in order per key."""
    seed = time.time_ns() % 1_000_000
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    dice, events = random.Random(seed), random.Random(seed)  # noqa: S311 - chance, no secret
    configuration = sandbox_configuration(sandbox.url, log=kept.configuration)
    if transport is Transport.PUBSUB:
        configuration = over_pubsub(configuration, sandbox.pubsub_address)
    config = written(tmp_path, configuration)
    org = BusyOrg(sandbox=sandbox, dice=events)
    sending = asyncio.create_task(org.send(_MESSAGES, per_second=_PER_SECOND), name="busy org")

    for _ in range(_KILLS - 1):
        await _run_and_kill(config, sandbox, dice)
    # The others can all come before the first commit.
    await _run_and_kill(config, sandbox, dice, after=lambda: _has_begun(kept))
    before_last = len(await kept.events())
    await sending
    # The daemon of the last kill can have read all that there was.
    await org.send(_MESSAGES + 1_000, per_second=_PER_SECOND)
    sent = sent_by(sandbox)
    async with Daemon.running(config) as daemon:
        await daemon.started()
        await reached(lambda: _count(kept), len(sent), every_s=0.5)
        assert await daemon.stop() == 0

    found = await kept.events()
    assert 0 < before_last < len(sent)
    assert Counter(found) == Counter(sent)
    assert by_key(found) == by_key(sent)


async def _run_and_kill(
    config: Path, sandbox: Sandbox, dice: random.Random, *, after: Callable[[], Awaitable[bool]] | None = None
) -> None:
    enough = sandbox.faults.armed.delivered + dice.randrange(1, 2_000)
    async with Daemon.running(config) as daemon:

        async def has_delivered() -> bool:
            return sandbox.faults.armed.delivered >= enough

        await until(has_delivered)
        if after is not None:
            await until(after)
        await asyncio.sleep(dice.random() * 0.05)
        await daemon.kill()


async def _has_begun(kept: Kept) -> bool:
    return await _count(kept) > 0


async def _count(kept: Kept) -> int:
    return len(await kept.events())
