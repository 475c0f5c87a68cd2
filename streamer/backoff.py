"""Delays between tries, each longer than the one before."""

from collections.abc import Callable
from dataclasses import dataclass

Jitter = Callable[[float, float], float]
"""Draws a number between two, as `random.uniform` does."""

# Far beyond any limit, and no number of failures overflows.
_MOST_DOUBLINGS = 64


def no_jitter(_least: float, most: float) -> float:
    """Return the longest delay that there may be."""
    return most


def full_jitter(random: Callable[[], float]) -> Jitter:
    """Return what draws by `random`, which gives numbers in [0, 1), as `random.uniform` does by its own."""
    return lambda least, most: least + random() * (most - least)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Exponential back-off: `first_s` seconds, then `factor` times as long each time, up to `limit_s`.

    `jitter` draws each delay between nothing and that, so that what failed
    together is not tried again together.
    """

    first_s: float
    limit_s: float
    factor: float = 2.0
    jitter: Jitter = no_jitter

    def ceiling_s(self, failures: int) -> float:
        """Return the longest delay after so many failures in a row, of which there is at least one."""
        return min(self.limit_s, self.first_s * self.factor ** min(failures - 1, _MOST_DOUBLINGS))

    def delay_s(self, failures: int) -> float:
        """Return how long to wait after so many failures in a row."""
        return self.jitter(0.0, self.ceiling_s(failures))


@dataclass(slots=True)
class Delays:
    """The delays of one row of failures, until `reset` ends it."""

    backoff: Backoff
    failures: int = 0

    def next_s(self) -> float:
        """Count a failure, and return how long to wait after it."""
        self.failures += 1
        return self.backoff.delay_s(self.failures)

    def reset(self) -> None:
        """Begin with the shortest delay again."""
        self.failures = 0
