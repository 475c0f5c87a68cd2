"""Exponential back-off between tries, with jitter."""

from collections.abc import Callable
from dataclasses import dataclass

Jitter = Callable[[float, float], float]
"""Draws a number between two bounds, like `random.uniform`."""

# Enough to reach any limit, and few enough to avoid an overflow.
_MOST_DOUBLINGS = 64


def no_jitter(_least: float, most: float) -> float:
    """Return the longest possible delay."""
    return most


def full_jitter(random: Callable[[], float]) -> Jitter:
    """Return a jitter like `random.uniform` that uses `random`, which returns numbers in [0, 1)."""
    return lambda least, most: least + random() * (most - least)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Exponential back-off: `first_s` seconds, then `factor` times as long each time, up to `limit_s`.

    `jitter` draws each delay between zero and that value, so that parts that
    failed together do not all retry together.
    """

    first_s: float
    limit_s: float
    factor: float = 2.0
    jitter: Jitter = no_jitter

    def ceiling_s(self, failures: int) -> float:
        """Return the longest delay after `failures` (at least 1) consecutive failures."""
        return min(self.limit_s, self.first_s * self.factor ** min(failures - 1, _MOST_DOUBLINGS))

    def delay_s(self, failures: int) -> float:
        """Return the delay after `failures` consecutive failures."""
        return self.jitter(0.0, self.ceiling_s(failures))


@dataclass(slots=True)
class Delays:
    """Delays in one series of failures; `reset` ends the series."""

    backoff: Backoff
    failures: int = 0

    def next_s(self) -> float:
        """Count a failure, and return the delay after it."""
        self.failures += 1
        return self.backoff.delay_s(self.failures)

    def reset(self) -> None:
        """Make the next delay the shortest again."""
        self.failures = 0
