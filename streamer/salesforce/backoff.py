"""How long to wait before trying again."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Backoff:
    """Waits that grow by two from `first_s` to `limit_s`, with full jitter.

    `random` returns a number in [0, 1): clients that were cut off together do
    not come back together.
    """

    random: Callable[[], float]
    first_s: float
    limit_s: float
    _failures: int = field(default=0, init=False)

    def next_s(self) -> float:
        """Return the next wait in seconds."""
        ceiling = min(self.limit_s, self.first_s * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return self.random() * ceiling

    def reset(self) -> None:
        """Begin with short waits again."""
        self._failures = 0
