"""When a failed delivery is tried again, and when no more."""

import random
from dataclasses import dataclass

from streamer.backoff import Backoff, Jitter

_LEAST_S = 0.1
_MOST_IN_MEMORY_S = 30.0
# A third of the time in which Kafka's clients have to ask for more.
_ALL_IN_MEMORY_S = 100.0
_MOST_ATTEMPTS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrySchedule:
    """Exponential back-off with full jitter, up to an end.

    Full jitter (any delay between nothing and the ceiling) spreads the keys
    that failed together. `give_up_after_s` is how long the retries take on
    average; it becomes a number of attempts, because time in which nothing was
    tried must not count. The first `fast_tries` retries are made from memory.
    """

    first_delay_s: float
    max_delay_s: float
    give_up_after_s: float
    fast_tries: int = 3
    jitter: Jitter = random.uniform

    @property
    def attempts(self) -> int:
        """How often an event is tried before it is set aside."""
        backoff, total_s, attempts = self._backoff, 0.0, 1
        while total_s < self.give_up_after_s and attempts < _MOST_ATTEMPTS:
            total_s += backoff.ceiling_s(attempts) / 2
            attempts += 1
        return attempts

    def delay_s(self, attempts: int, *, asked_s: float | None = None) -> float:
        """Return how long to wait after `attempts` (at least 1) failed ones.

        What the target asked for comes first, but neither at once, which would
        be a storm, nor after the end.
        """
        if asked_s is not None:
            return max(_LEAST_S, min(asked_s, self.give_up_after_s))
        return self._backoff.delay_s(attempts)

    def is_fast(self, attempts: int, delay_s: float) -> bool:
        """Whether the retry after `attempts` failed ones is made from memory."""
        if attempts > self.fast_tries:
            return False
        return delay_s <= min(_MOST_IN_MEMORY_S, _ALL_IN_MEMORY_S / self.fast_tries)

    @property
    def _backoff(self) -> Backoff:
        return Backoff(first_s=self.first_delay_s, limit_s=self.max_delay_s, jitter=self.jitter)
