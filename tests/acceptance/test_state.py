"""The states in the log are the org's records, and never go back, in any history of org, daemon and keepers.

`make test` plays 10 histories, and `make state-fire` 200. `STATE_BEGIN=17 STATE_HISTORIES=1`
plays only seed 17. `STATE_WITHOUT=store,bin` leaves out these moves and parts of the
opening, and `STATE_ONLY=…` leaves out all others. `STATE_MOVES=3` ends after three moves.
`STATE_JUDGE=back,twice` makes only these checks.
"""

import os
import random
import re
import traceback

import pytest

from streamer.settings import LargeText, Transport
from tests.acceptance.replica.opening import FEATURES as OPENING
from tests.acceptance.replica.opening import Opening
from tests.acceptance.replica.world import Busy
from tests.acceptance.state.moves import WEIGHTS, StateHistory
from tests.acceptance.state.state_world import StateWorld, unkept_org

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(0)]

HISTORIES = int(os.environ.get("STATE_HISTORIES", "10"))
BEGIN = int(os.environ.get("STATE_BEGIN", "0"))
MOVES = int(os.environ.get("STATE_MOVES", "12"))
ROUND = 5
SETTLED_EACH = 4
FEATURES = (*OPENING, "unrepaired", "large_text")
_STARTS = ("first", "after the daemon", "late")
_UNREPAIRED = 0.15
_TEXTS = (LargeText.MARK, LargeText.MARK, LargeText.APPLY, LargeText.REREAD)
_LONG = re.compile(r"(?<=line \d)[^'\"]{60,}")
_OBJECTS = (("Account", "Contact"), ("Account", "Contact"), ("Contact",))


def _named(variable: str) -> frozenset[str]:
    return frozenset(filter(None, os.environ.get(variable, "").split(",")))


ALLOWED = (_named("STATE_ONLY") or frozenset((*WEIGHTS, *FEATURES))) - _named("STATE_WITHOUT")
JUDGED = _named("STATE_JUDGE")


@pytest.mark.parametrize("begin", range(BEGIN, BEGIN + HISTORIES, ROUND))
async def test_states_become_the_org(begin: int) -> None:
    """Whatever happens, the states lead forward to the org's records, each once."""
    seeds = range(begin, min(begin + ROUND, BEGIN + HISTORIES))
    failed = [seed for seed in seeds if not await _is_right(seed)]
    assert failed == [], "STATE_BEGIN=SEED STATE_HISTORIES=1 makes one of them again"


async def _is_right(seed: int) -> bool:
    """Play the history of a seed, and print what is wrong with it."""
    draw = random.Random(f"{seed}:states")  # noqa: S311 - no secret
    transport = draw.choice((Transport.COMETD, Transport.PUBSUB))
    async with unkept_org(transport, draw.choice(_OBJECTS)) as states:
        opening = Opening(world=states.world, seed=seed, allowed=ALLOWED)
        history = StateHistory(world=states.world, states=states, seed=seed, allowed=ALLOWED)
        start, told = draw.choice(_STARTS), _configure(states, draw)
        found = _judged(await _complaints(states, opening, history, start))
    print(f"seed {seed}: {states.counted}")  # noqa: T201 - pytest shows it
    if found:
        begun = f"keepers start {start}, of {states.keepers.objects}; {told}"
        texts = [f"{name}: {text}" for name, text in found.items()]
        moves = [_LONG.sub("…", each) for each in (*opening.told, *history.moves)]
        print(f"seed {seed} is wrong:", begun, *moves, *texts, "", sep="\n")  # noqa: T201 - pytest shows it
    return not found


def _judged(found: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in found.items() if not JUDGED or name in JUDGED}


def _configure(states: StateWorld, draw: random.Random) -> str:
    """Draw settings of the channel, and return them."""
    is_repaired, text = draw.random() > _UNREPAIRED, draw.choice(_TEXTS)
    if "unrepaired" in ALLOWED:
        states.world.repairs_gaps = is_repaired
    if "large_text" in ALLOWED:
        states.world.large_text = text
    return f"gaps are repaired: {states.world.repairs_gaps}, large_text: {states.world.large_text}"


async def _complaints(
    states: StateWorld, opening: Opening, history: StateHistory, start: str
) -> dict[str, str]:
    try:
        if start == _STARTS[0]:
            states.keepers.start()
        await opening.play()
        if start == _STARTS[1]:
            states.keepers.start()
        for number in range(1, MOVES + 1):
            await history.move()
            if number % SETTLED_EACH == 0:
                await states.settle()
                if found := _judged(states.complaints(is_settled=True)):
                    return found
        await states.until_quiet()
    except Busy as busy:
        return {"busy": str(busy)} | states.complaints(is_settled=False)
    except AssertionError as error:
        return {"unsettled": str(error)} | states.complaints(is_settled=False)
    except Exception:  # noqa: BLE001 - a mistake of the model is shown with its moves
        return {"error": traceback.format_exc()}
    return states.complaints(is_settled=True)
