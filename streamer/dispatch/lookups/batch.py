"""Batch of look-ups: the ids of one object that are read by one call."""

import asyncio
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from streamer.clock import Clock
from streamer.dispatch.lookups.cache import Found
from streamer.errors import RetryLater, StreamerError


@dataclass(slots=True, kw_only=True, eq=False)
class LookupBatch:
    """Records of `sobject` that are read together.

    It collects `ids` until it is sent. `sent_at` (monotonic seconds) and the
    `fields` that are read, in lower case, stand from then on. `outdated` are
    the ids of records that have changed since then. When it is `done`, there
    are `records` by id, without the missing ones, or an `error` for all of them.
    """

    sobject: str
    most: int
    ids: dict[str, None] = field(default_factory=dict)
    outdated: set[str] = field(default_factory=set)
    fields: AbstractSet[str] = frozenset()
    sent_at: float | None = None
    records: Mapping[str, Found] = field(default_factory=dict)
    # State of a call that was cancelled.
    error: StreamerError | None = field(default_factory=lambda: RetryLater("the look-up was broken off"))
    _full: asyncio.Event = field(default_factory=asyncio.Event)
    _done: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_open(self) -> bool:
        """True while ids can join."""
        return self.sent_at is None and len(self.ids) < self.most

    def add(self, record_id: str) -> None:
        """Read this record too."""
        self.ids[record_id] = None
        if len(self.ids) >= self.most:
            self._full.set()

    def serves(self, record_id: str, fields: AbstractSet[str]) -> bool:
        """Return true when its answer will have `fields` of the record, as the record is now."""
        if self.sent_at is None:
            return True
        return fields <= self.fields and record_id not in self.outdated

    async def collected(self, clock: Clock, seconds: float) -> None:
        """Wait until the batch is full, but not longer than `seconds`."""
        try:
            async with clock.timeout(seconds):
                await self._full.wait()
        except TimeoutError:
            return

    def finish(self) -> None:
        """Let those that wait read the result."""
        self._done.set()

    async def done(self) -> None:
        """Wait for the result."""
        await self._done.wait()
