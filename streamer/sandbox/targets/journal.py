"""What a receiver was sent, in order."""

import asyncio
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One request: when it came (epoch seconds), what it asked, and what was answered.

    `body` is the JSON, or the text where it was none. `headers` holds a few
    that tests ask for, credentials never. `accepted` says that the receiver
    acted on it, or knew that it had done so before.
    """

    at: float
    key: str | None
    method: str
    path: str
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int
    accepted: bool


class Journal:
    """The latest requests, and a count of what was accepted for each idempotency key."""

    def __init__(self, *, limit: int = 100_000) -> None:
        """Keep the last `limit` requests; the counts go back to the beginning."""
        self._records: deque[Received] = deque(maxlen=limit)
        self._accepted: Counter[str] = Counter()
        self._total = 0
        self._grown = asyncio.Event()

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Received]:
        """Yield them, the oldest first."""
        return iter(self._records)

    def __getitem__(self, index: int) -> Received:
        """Return one of them; -1 is the latest."""
        return self._records[index]

    def add(self, received: Received) -> None:
        """Note one request."""
        self._records.append(received)
        self._total += 1
        self._grown.set()
        if received.accepted and received.key is not None:
            self._accepted[received.key] += 1

    async def reached(self, total: int) -> None:
        """Return once `total` requests have been noted, since the beginning."""
        while self._total < total:
            self._grown.clear()
            await self._grown.wait()

    @property
    def accepted(self) -> Mapping[str, int]:
        """How often each idempotency key was accepted."""
        return self._accepted

    @property
    def duplicates(self) -> Mapping[str, int]:
        """The keys that were accepted more than once, with how often beyond the first."""
        return {key: count - 1 for key, count in self._accepted.items() if count > 1}
