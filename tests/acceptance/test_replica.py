"""The log always leads to the org's records, and no hole is silent, in any history of org and daemon.

`make test` draws 40 histories, and `make replica` as many as `HISTORIES` says.
`REPLICA_BEGIN=17 REPLICA_HISTORIES=1` runs only seed 17. `REPLICA_WITHOUT=lost,far`
leaves out these moves and parts of the opening, and `REPLICA_ONLY=…` leaves out all
others. `REPLICA_JUDGE=twice,silent` makes only these checks.
"""

import os
import random
import traceback

import pytest

from streamer.settings import Transport
from tests.acceptance.replica.moves import WEIGHTS, History
from tests.acceptance.replica.opening import FEATURES, Opening
from tests.acceptance.replica.world import Busy, World, unread_org
from tests.schemas import all_of

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(0)]

HISTORIES = int(os.environ.get("REPLICA_HISTORIES", "40"))
BEGIN = int(os.environ.get("REPLICA_BEGIN", "0"))
ROUND = 10
MOVES = 12
SETTLED_EACH = 4


def _named(variable: str) -> frozenset[str]:
    return frozenset(filter(None, os.environ.get(variable, "").split(",")))


ALLOWED = (_named("REPLICA_ONLY") or frozenset((*WEIGHTS, *FEATURES))) - _named("REPLICA_WITHOUT")
JUDGED = _named("REPLICA_JUDGE")


@pytest.mark.parametrize("begin", range(BEGIN, BEGIN + HISTORIES, ROUND))
async def test_replica_becomes_the_org(begin: int) -> None:
    """After every few moves, once what can be repaired was. The events keep the published schemas."""
    failed = [
        seed for seed in range(begin, min(begin + ROUND, BEGIN + HISTORIES)) if not await _is_right(seed)
    ]
    assert failed == [], "REPLICA_BEGIN=SEED REPLICA_HISTORIES=1 makes one of them again"


async def _is_right(seed: int) -> bool:
    """Play the history of a seed, and print what is wrong with it."""
    transport = random.Random(seed).choice((Transport.COMETD, Transport.PUBSUB))  # noqa: S311 - no secret
    async with unread_org(transport) as world:
        world.ends_when_busy = not JUDGED or "busy" in JUDGED
        opening = Opening(world=world, seed=seed, allowed=ALLOWED)
        history = History(world=world, seed=seed, allowed=ALLOWED)
        found = await _complaints(world, opening, history)
    judged = {name: text for name, text in found.items() if not JUDGED or name in JUDGED}
    if judged:
        texts = [f"{name}: {text}" for name, text in judged.items()]
        print(f"seed {seed}:", *opening.told, *history.moves, *texts, "", sep="\n")  # noqa: T201 - pytest shows it
    return not judged


async def _complaints(world: World, opening: Opening, history: History) -> dict[str, str]:
    ended: dict[str, str] = {}
    try:
        await opening.play()
        for number in range(1, MOVES + 1):
            await history.move()
            if number % SETTLED_EACH == 0:
                await world.settle()
                if found := world.complaints():
                    return found
    except Busy as busy:
        # A repair that is missing then may still be on its way.
        found = world.complaints()
        return {"busy": str(busy)} | {name: found[name] for name in ("twice", "quota") if name in found}
    except AssertionError as error:
        ended = {"unsettled": str(error)}
    except Exception:  # noqa: BLE001 - a mistake of the model is shown with its moves
        return {"error": traceback.format_exc()}
    if mistakes := all_of({"type": each.type, "data": each.data} for each in world.log.events):
        ended["schemas"] = f"{mistakes}"
    return world.complaints() | ended
