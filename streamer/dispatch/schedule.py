"""When a failed delivery is tried again."""

import random
from collections.abc import Callable
from dataclasses import dataclass

_LEAST_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrySchedule:
    """Exponential back-off with full jitter, up to an end.

    Full jitter (any delay between nothing and the ceiling) spreads the keys
    that failed together.
    """

    first_delay_s: float
    max_delay_s: float
    give_up_after_s: float
    jitter: Callable[[float, float], float] = random.uniform

    def delay_s(self, attempts: int, *, asked_s: float | None = None) -> float:
        """Return how long to wait after `attempts` (at least 1) failed ones.

        What the target asked for comes first, but neither at once, which would
        be a storm, nor after the end.
        """
        if asked_s is not None:
            return max(_LEAST_S, min(asked_s, self.give_up_after_s))
        ceiling = min(self.max_delay_s, self.first_delay_s * 2.0 ** min(attempts - 1, 40))
        return self.jitter(0.0, ceiling)

    def is_over(self, *, failing_for_s: float) -> bool:
        """Whether an event that has failed for `failing_for_s` is to be set aside."""
        return failing_for_s >= self.give_up_after_s
