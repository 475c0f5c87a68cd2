"""Number of random cases that a test draws, and number of rounds."""

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

CASES = int(os.environ.get("FUZZ_CASES", "2000"))
# Hypothesis remembers all cases of a round (100 kB each), and a process that grows stands still for its
# garbage collection.
MOST_OF_A_ROUND = 1_000


def share(percent: int) -> Callable[[Callable[..., None]], Any]:
    """Return a decorator that draws so much of all cases; `make test` draws the same ones each time."""
    cases = max(1, CASES * percent // 100)
    rounds = -(-cases // MOST_OF_A_ROUND)

    def drawing(test: Callable[..., None]) -> Any:
        drawn = settings(
            max_examples=-(-cases // rounds),
            deadline=None,
            database=None,
            derandomize="FUZZ_CASES" not in os.environ,
            suppress_health_check=list(HealthCheck),
            # A daemon that one case has disturbed cannot be used to shrink that case.
            phases=[Phase.explicit, Phase.generate],
        )(test)
        repeated = pytest.mark.parametrize("round_", range(rounds), indirect=True, ids=str)(drawn)
        return pytest.mark.usefixtures("round_")(repeated)

    return drawing
