"""Journal of the requests that a receiver got."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """One request, its time in epoch seconds, and its answer.

    `body` is the request's JSON, or its text if the body is not JSON. `headers` holds a
    few headers that tests need, never credentials. `accepted` is true when the receiver
    acted on the request, or had acted on it before.
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
    """The latest requests in order, and the number of accepted requests for each idempotency key."""

    def __init__(self, *, limit: int = 100_000) -> None:
        """Build an empty journal of the last `limit` requests; the counts cover all requests."""
        self._records: deque[JournalEntry] = deque(maxlen=limit)
        self._accepted: Counter[str] = Counter()
        self._total = 0
        self._grown = asyncio.Event()
        self._listeners: list[Callable[[JournalEntry], None]] = []

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[JournalEntry]:
        return iter(self._records)

    def __getitem__(self, index: int) -> JournalEntry:
        return self._records[index]

    def add(self, received: JournalEntry) -> None:
        """Add one request."""
        self._records.append(received)
        self._total += 1
        self._grown.set()
        if received.accepted and received.key is not None:
            self._accepted[received.key] += 1
        for listener in self._listeners:
            listener(received)

    def listen(self, listener: Callable[[JournalEntry], None]) -> None:
        """Call `listener` with each request from now on, before its answer is sent."""
        self._listeners.append(listener)

    async def reached(self, total: int) -> None:
        """Return once `total` requests have been added since the beginning."""
        while self._total < total:
            self._grown.clear()
            await self._grown.wait()

    @property
    def accepted(self) -> Mapping[str, int]:
        """Number of accepted requests of each idempotency key."""
        return self._accepted

    @property
    def duplicates(self) -> Mapping[str, int]:
        """The keys of requests that were accepted more than once, each with the number of repetitions."""
        return {key: count - 1 for key, count in self._accepted.items() if count > 1}
