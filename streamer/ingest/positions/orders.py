"""Orders of another position for one channel, and which of them the log holds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from streamer.controls import PositionOrder
from streamer.errors import RetryLater
from streamer.events import ContinuityRecord
from streamer.ports import RecordedHoles


class PositionOrdered(Exception):
    """An operator has ordered another position: reading ends here, between two answers."""


@dataclass(slots=True, kw_only=True)
class OrderedPositions:
    """Orders to change the position of one channel, each carried out once, the oldest first.

    An order is carried out when the continuity record of its id is in the log.
    `ended` is called with both then, and is to remove the order.
    """

    log: RecordedHoles
    ended: Callable[[PositionOrder, ContinuityRecord], None]
    _orders: dict[str, PositionOrder] = field(default_factory=dict, init=False)
    _known: set[str] = field(default_factory=set, init=False)
    _current: PositionOrder | None = field(default=None, init=False)
    _wake: Callable[[], None] = field(default=lambda: None, init=False)

    @property
    def current(self) -> PositionOrder | None:
        """Order that is being carried out: reading has moved, and the log does not hold it yet."""
        return self._current

    @property
    def has_order(self) -> bool:
        """True while an order waits and none is being carried out, or while that one was withdrawn."""
        if self._current is not None:
            return self._current.id not in self._orders
        return not self._known.issuperset(self._orders)

    def resume(self, wake: Callable[[], None]) -> None:
        """Call `wake` when there is a new order."""
        self._wake = wake

    def follow(self, orders: Mapping[str, PositionOrder]) -> None:
        """Replace this channel's orders (keyed by id)."""
        self._orders = dict(sorted(orders.items(), key=lambda each: each[1].at))
        self._known.intersection_update(self._orders)
        self._wake()

    async def begin(self) -> PositionOrder | None:
        """Return the oldest order that the log does not hold, to be carried out now, if there is one.

        Raises what the log raises, and `RetryLater` when the current order was
        withdrawn: the log has no trace of it. It is certain for the channel's
        owner, as `RecordedHoles.holes` is.
        """
        if self._current is not None:
            self._current = None
            raise RetryLater("the order of another position was withdrawn: reading continues where it was")
        waiting = [each for name, each in self._orders.items() if name not in self._known]
        found = await self.log.holes([each.id for each in waiting])
        for order in waiting:
            if order.id not in found:
                self._current = order
                return order
            self._end(order, found[order.id])
        return None

    def recorded(self, records: Mapping[str, ContinuityRecord]) -> None:
        """Note that `records`, by their ids, are in the log, and with its own the current order."""
        if self._current is not None and self._current.id in records:
            order, self._current = self._current, None
            self._end(order, records[order.id])

    def _end(self, order: PositionOrder, record: ContinuityRecord) -> None:
        self._known.add(order.id)
        self.ended(order, record)
