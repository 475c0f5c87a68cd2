"""No hostile input from outside ends the daemon, stops it, or fills the memory.

`make test` sends some of the inputs. `make fuzz` sends all of them, and a higher
`CASES` adds sizes. `FUZZ_SHAPES='cometd:'` sends only inputs whose names contain
this text.
"""

import os
import random
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.acceptance.fuzz.cases import CASES
from tests.acceptance.fuzz.patient import MOST_MB, STANDSTILL_S
from tests.acceptance.fuzz.shapes import SHAPES
from tests.acceptance.fuzz.siege import Siege
from tests.acceptance.fuzz.watch import Watch, cpu_s

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(0), pytest.mark.asyncio(loop_scope="module")]

_ALL_FROM = 10_000
_CASES_A_ROUND = 100_000
_IN_EACH_RUN = (
    "token: 2 MB of brackets",
    "target: a gzip bomb",
    "cometd: millions of messages for no channel",
    "cometd: brackets within an event",
    "cometd: a text of 60 MB",
    "rest: a gzip bomb",
    "bulk: a line of millions of cells",
    "pubsub: eight million empty events",
    "pubsub: a gzip bomb of 60 MB",
    "pubsub: metadata of 16 MB",
    "pubsub: schemas of 1 MB with 16,170 fields",
    "expression: texts of a long list",
    "template: chains of maps",
    "configuration: aliases of aliases",
    "configuration: a pipe as a secret",
    "admin: thirty orders as gzip bombs at once",
    "outbound: elements within elements",
)
_WANTED = os.environ.get("FUZZ_SHAPES", "")


def _drawn() -> list[tuple[str, float]]:
    """Return the shapes of this run, with their sizes."""
    names = [name for name in SHAPES if _WANTED in name]
    if not _WANTED and CASES < _ALL_FROM:
        names = [*_IN_EACH_RUN]
    draw = random.Random()  # noqa: S311 - sizes
    sizes = [1.0, *(draw.uniform(0.05, 1.0) for _ in range(1, max(1, CASES // _CASES_A_ROUND)))]
    return [(name, size) for size in sizes for name in names]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def siege(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Siege]:
    """One daemon for all shapes, as long as it stands them."""
    siege = Siege(tmp_path_factory.mktemp("siege"))
    yield siege
    await siege.end()


@pytest.mark.parametrize(("name", "size"), _drawn())
async def test_shape_neither_ends_nor_holds_up_the_daemon(siege: Siege, name: str, size: float) -> None:
    """It answers its probes within two seconds of its own CPU time, and carries good events after it."""
    async with siege.daemon() as besieged:
        before_s = cpu_s(besieged.daemon.pid)
        with Watch(besieged.daemon.pid, besieged.ports["observe"]) as watch:
            try:
                await SHAPES[name](besieged, size)
                assert besieged.daemon.runs, besieged.daemon.output[-3_000:]
                await besieged.carries()
                await watch.probed()
            finally:
                told = (
                    f"{name} x {size:.2f}: {watch.standstill_s:.2f} s of CPU at most between two answers, "
                    f"{cpu_s(besieged.daemon.pid) - before_s:.1f} s in all; "
                    f"{watch.held_mb:.0f} MB before, {watch.peak_mb:.0f} MB at most"
                )
                print(told, flush=True)  # noqa: T201 - shown when the test fails
        assert watch.refused == 0, told
        assert watch.standstill_s < STANDSTILL_S, told
        # Caches can still hold values of former shapes.
        assert besieged.fresh_mb + watch.highest_mb - watch.held_mb < MOST_MB, told
