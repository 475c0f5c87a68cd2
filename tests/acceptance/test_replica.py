"""Whatever happens to an org and to the daemon, the log leads to the org's records, and no hole is silent.

`make test` draws 100 histories, and `make replica` as many as `HISTORIES` says.
"""

import os
import random

import pytest

from streamer.settings import Transport
from tests.acceptance.replica.moves import History
from tests.acceptance.replica.world import org_world
from tests.schemas import all_of

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(0)]

HISTORIES = int(os.environ.get("REPLICA_HISTORIES", "100"))
BEGIN = int(os.environ.get("REPLICA_BEGIN", "0"))
ROUND = 10
MOVES = 12
SETTLED_EACH = 4


@pytest.mark.parametrize("begin", range(BEGIN, BEGIN + HISTORIES, ROUND))
async def test_replica_becomes_the_org(begin: int) -> None:
    """After every few moves, once what can be repaired was. The events keep the published schemas."""
    for seed in range(begin, min(begin + ROUND, BEGIN + HISTORIES)):
        await _history(seed)


async def _history(seed: int) -> None:
    draw = random.Random(seed)  # noqa: S311 - a history, no secret
    transport = draw.choice((Transport.COMETD, Transport.PUBSUB))
    async with org_world(transport) as world:
        history = History(world=world, draw=draw)
        try:
            for number in range(1, MOVES + 1):
                await history.move()
                if number % SETTLED_EACH == 0:
                    await world.settle()
            world.check_positions()
        except BaseException:
            print(f"seed {seed} over {transport}:", *history.moves, sep="\n")  # noqa: T201 - pytest shows it
            raise
        assert all_of({"type": each.type, "data": each.data} for each in world.log.events) == []
