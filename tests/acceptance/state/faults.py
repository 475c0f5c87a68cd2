"""The log as one keeper of states sees it: it can be down, fail, and lose its answers."""

import random
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from streamer.controls import AuditRecord, SnapshotOrder
from streamer.errors import LogUnavailable
from streamer.events import RecordState
from streamer.log.memory import MemoryLog
from streamer.log.memory.feed import MemoryFeed
from streamer.ports import Assigned, Page, Recorded, Revoked, Settlement, Subscription


@dataclass(kw_only=True)
class KeeperFaults:
    """Faults of the log for one keeper.

    The next calls named in `failing` raise `LogUnavailable` so many times, before
    they take effect. The next calls in `unanswered` take effect and raise it then.
    The log has deleted the events of the next `expired` pages before they are read.
    `on_settled` is called when states are in the log, before the keeper knows it.
    """

    down: bool = False
    expired: int = 0
    failing: dict[str, int] = field(default_factory=dict)
    unanswered: dict[str, int] = field(default_factory=dict)
    on_settled: Callable[[], None] | None = None

    def calm(self) -> None:
        """End all faults."""
        self.down, self.on_settled, self.expired = False, None, 0
        self.failing.clear()
        self.unanswered.clear()

    def before(self, call: str) -> None:
        """Raise `LogUnavailable` if the call fails."""
        if self.down or _taken(self.failing, call):
            raise LogUnavailable(f"the test lets {call} fail")

    def after(self, call: str) -> None:
        """Raise `LogUnavailable` if the answer to the call is lost."""
        if _taken(self.unanswered, call):
            raise LogUnavailable(f"the test loses the answer to {call}")


def _taken(times: dict[str, int], call: str) -> bool:
    left = times.get(call, 0)
    if left:
        times[call] = left - 1
    return left > 0


CALLS = ("read", "settle", "of", "origins", "order", "follow")
"""Calls that can fail."""

UNANSWERED = ("settle", "order")
"""Calls whose answers can be lost."""


class _Delegate:
    """Object that passes on everything that it does not define itself."""

    def __init__(self, inner: object, faults: KeeperFaults) -> None:
        self._inner, self._faults = inner, faults

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class KeeperFeed(_Delegate):
    """Feed of a keeper, with faults."""

    _inner: MemoryFeed

    async def read(self) -> Assigned | Revoked | Page:
        """Fail, or read."""
        self._faults.before("read")
        read = await self._inner.read()
        if isinstance(read, Page) and self._faults.expired:
            self._faults.expired -= 1
            return replace(read, entries=(), expired=frozenset(read.through))
        return read

    async def settle(self, settlement: Settlement, /) -> Recorded:
        """Fail, or settle. Only progress can be in the log without an answer."""
        self._faults.before("settle")
        recorded = await self._inner.settle(settlement)
        if settlement.is_plain:
            self._faults.after("settle")
        if settlement.states and self._faults.on_settled is not None:
            self._faults.on_settled()
        return recorded


class KeeperControls(_Delegate):
    """Controls of a keeper, with faults, which note the orders of the keeper in `orders`."""

    def __init__(self, inner: object, faults: KeeperFaults, orders: dict[str, SnapshotOrder]) -> None:
        super().__init__(inner, faults)
        self._orders = orders

    async def order_snapshot(self, order: SnapshotOrder, audit: AuditRecord, /) -> None:
        """Fail, or order."""
        self._faults.before("order")
        self._orders[order.id] = order
        await self._inner.order_snapshot(order, audit)  # type: ignore[attr-defined] # it is of the controls
        self._faults.after("order")


class KeeperStates(_Delegate):
    """States that a keeper reads, with faults."""

    async def origins(self, entities: Collection[str], /) -> Mapping[str, str]:
        """Fail, or return the origins."""
        self._faults.before("origins")
        found: Mapping[str, str] = await self._inner.origins(entities)  # type: ignore[attr-defined] # the states
        return found

    async def of(self, entity: str, record_ids: Collection[str], /) -> Mapping[str, RecordState]:
        """Fail, or return the states."""
        self._faults.before("of")
        found: Mapping[str, RecordState] = await self._inner.of(entity, record_ids)  # type: ignore[attr-defined] # the states
        return found


class KeeperLog(_Delegate):
    """Log of one keeper. A test can break the keeper with another `feed_type`, and so on."""

    feed_type: ClassVar[type[KeeperFeed]] = KeeperFeed
    controls_type: ClassVar[type[KeeperControls]] = KeeperControls
    states_type: ClassVar[type[KeeperStates]] = KeeperStates

    def __init__(self, inner: MemoryLog, faults: KeeperFaults, orders: dict[str, SnapshotOrder]) -> None:
        super().__init__(inner, faults)
        self.log, self._orders = inner, orders
        self.feed: MemoryFeed | None = None

    @property
    def controls(self) -> KeeperControls:
        """Controls of the log."""
        return self.controls_type(self.log.controls, self._faults, self._orders)

    @property
    def states(self) -> KeeperStates:
        """States in the log."""
        return self.states_type(self.log.states, self._faults)

    @asynccontextmanager
    async def follow(self, subscription: Subscription) -> AsyncIterator[KeeperFeed]:
        """Fail, or open a feed."""
        self._faults.before("follow")
        async with self.log.follow(subscription) as feed:
            self.feed = feed
            try:
                yield self.feed_type(feed, self._faults)
            finally:
                self.feed = None


def drawn_fault(draw: random.Random, faults: KeeperFaults) -> str:
    """Set a fault, and return what it is."""
    times = draw.randint(1, 3)
    if draw.random() < 0.3:
        call = draw.choice(UNANSWERED)
        faults.unanswered[call] = times
        return f"{times} answers to {call} lost"
    call = draw.choice(CALLS)
    faults.failing[call] = times
    return f"{call} fails {times} times"
