"""Logs that make a keeper of states do wrong: the judge must see each of them."""

from collections.abc import Sequence
from dataclasses import replace

from streamer.controls import AuditRecord, SnapshotOrder
from streamer.events import Entry, RecordState
from streamer.ports import Assigned, Page, Recorded, Revoked, Settlement
from tests.acceptance.state.faults import KeeperControls, KeeperFeed, KeeperLog

_MUCH = 10**12


class _Twice(KeeperFeed):
    async def settle(self, settlement: Settlement, /) -> Recorded:
        """Write each state twice."""
        doubled = [each for state in settlement.states for each in (state, state)]
        return await super().settle(replace(settlement, states=doubled))


class _Lost(KeeperFeed):
    async def settle(self, settlement: Settlement, /) -> Recorded:
        """Lose the last state."""
        return await super().settle(replace(settlement, states=settlement.states[:-1]))


class _Back(KeeperFeed):
    _former: Sequence[RecordState] = ()

    async def settle(self, settlement: Settlement, /) -> Recorded:
        """Write the former states again, after the new ones."""
        again = [*settlement.states, *self._former] if settlement.states else ()
        self._former = settlement.states or self._former
        return await super().settle(replace(settlement, states=again))


class _Blind(KeeperFeed):
    """Feed whose every event looks newer than all before."""

    _read = 0

    async def read(self) -> Assigned | Revoked | Page:
        read = await super().read()
        return (
            replace(read, entries=[self._newer(each) for each in read.entries])
            if isinstance(read, Page)
            else read
        )

    def _newer(self, entry: Entry) -> Entry:
        self._read += 1
        event, data = entry.event, {**entry.event.data}
        data["transaction"] = {**data.get("transaction", {}), "commit_number": _MUCH + self._read}
        time = f"2099-01-01T00:00:{self._read % 60:02}.000Z"
        return replace(entry, event=replace(event, time=time, data=data))


class _Partial(KeeperFeed):
    async def settle(self, settlement: Settlement, /) -> Recorded:
        """Lose a field of each record."""
        states = [
            replace(each, fields=each.fields and {**each.fields, "Name": "changed"})
            for each in settlement.states
        ]
        return await super().settle(replace(settlement, states=states))


class _Dropped(KeeperControls):
    async def order_snapshot(self, order: SnapshotOrder, audit: AuditRecord, /) -> None:
        """Lose each order to read a record again."""
        if not order.where:
            await super().order_snapshot(order, audit)


class _Endless(KeeperControls):
    async def order_snapshot(self, order: SnapshotOrder, audit: AuditRecord, /) -> None:
        """Make each order ten times."""
        await super().order_snapshot(order, audit)
        for _ in range(9):
            await super().order_snapshot(replace(order, id=SnapshotOrder.new_id()), audit)


class WritesTwice(KeeperLog):
    """Log in which each state stands twice."""

    feed_type = _Twice


class LosesStates(KeeperLog):
    """Log that loses the last state of each settlement."""

    feed_type = _Lost


class GoesBack(KeeperLog):
    """Log in which older states follow newer ones."""

    feed_type = _Back


class LooksNew(KeeperLog):
    """Log whose keeper merges every event blindly."""

    feed_type = _Blind


class ChangesFields(KeeperLog):
    """Log in which a field is wrong."""

    feed_type = _Partial


class DropsOrders(KeeperLog):
    """Log that loses the orders to read records again."""

    controls_type = _Dropped


class OrdersEndlessly(KeeperLog):
    """Log with far more orders than are needed."""

    controls_type = _Endless
