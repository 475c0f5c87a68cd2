"""No shape of what comes from outside ends the daemon, holds it up, or fills the memory.

`make test` draws a few of each kind, and `make fuzz` all of them, in more sizes the higher `CASES` is.
`FUZZ_SHAPES='cometd:'` plays those whose names contain that.
"""

import asyncio
import os
import random
from itertools import groupby
from pathlib import Path

import pytest

from tests.acceptance.fuzz.besieged import Besieged
from tests.acceptance.fuzz.cases import CASES
from tests.acceptance.fuzz.patient import MOST_MB, STANDSTILL_S
from tests.acceptance.fuzz.shapes import SHAPES
from tests.acceptance.fuzz.watch import Watch

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(0)]

_ALL_FROM = 10_000
_CASES_A_ROUND = 100_000
_OF_EACH = 2
_WANTED = os.environ.get("FUZZ_SHAPES", "")


def _drawn() -> list[tuple[str, float]]:
    """Return the shapes of this run, with their sizes."""
    names = [name for name in SHAPES if _WANTED in name]
    if not _WANTED and CASES < _ALL_FROM:
        draw = random.Random(0)  # noqa: S311 - the same ones in each run
        kinds = groupby(names, key=lambda name: name.partition(":")[0])
        each = [list(shapes) for _, shapes in kinds]
        names = [name for shapes in each for name in draw.sample(shapes, min(_OF_EACH, len(shapes)))]
    draw = random.Random()  # noqa: S311 - sizes
    sizes = [1.0, *(draw.uniform(0.05, 1.0) for _ in range(1, max(1, CASES // _CASES_A_ROUND)))]
    return [(name, size) for size in sizes for name in names]


@pytest.mark.parametrize(("name", "size"), _drawn())
async def test_shape_neither_ends_nor_holds_up_the_daemon(tmp_path: Path, name: str, size: float) -> None:
    """It answers its probes within two seconds of its own CPU time, and carries good events after it."""
    async with Besieged.running(tmp_path) as besieged:
        with Watch(besieged.daemon.pid, besieged.ports["observe"]) as watch:
            try:
                await SHAPES[name](besieged, size)
                assert besieged.daemon.runs, besieged.daemon.output[-3_000:]
                await besieged.carries()
                # The last probe is to be answered.
                await asyncio.sleep(1)
            finally:
                told = f"{name} x {size:.2f}: {watch.standstill_s:.1f} s of CPU, {watch.peak_mb:.0f} MB"
                print(told, flush=True)  # noqa: T201 - shown when the test fails
        assert watch.refused == 0, told
        assert watch.standstill_s < STANDSTILL_S, told
        assert watch.highest_mb < MOST_MB, told
