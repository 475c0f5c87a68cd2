"""Order to repair the differences between an org and a log."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from streamer.continuity.reconciling import DriftKind, Reconciled
from streamer.events import JsonObject
from streamer.normalise.times import as_event_time


class Orders(Protocol):
    """The part of the admin API that takes orders."""

    async def post(self, path: str, **body: Any) -> JsonObject:
        """Send `body` to `path`, and return the answer; raises `ApiRefused`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairOrder:
    """Order that a daemon has taken: its `id`, `None` where none can help, and the differences `left`."""

    id: str | None
    channel: str
    left: int

    @property
    def sentence(self) -> str:
        """What an operator is to know of it."""
        if self.id is None:
            return f"No order was given: {_beyond(self.left)}"
        watch = f"`streamer snapshot watch {self.id}` shows its progress"
        left = f" {_beyond(self.left)}" if self.left else ""
        return f"Ordered: {self.id} publishes the changed records again in {self.channel}; {watch}.{left}"


async def ordered_repair(orders: Orders, found: Reconciled, *, by: str) -> RepairOrder:
    """Order a snapshot of the records that were changed in the window, from the owner of their channel.

    It reads them as they are now, in the one loop that writes the channel, so
    that nothing older can follow a newer event. Deletions, and records that the
    org does not have, are no part of a snapshot. Raises `ApiRefused`.
    """
    missing = found.counts.get(DriftKind.MISSING, 0)
    left = sum(found.counts.values()) - missing
    if not missing:
        return RepairOrder(id=None, channel=found.channel, left=left)
    where = f"{found.stamp} >= {_literal(found.since)} AND {found.stamp} <= {_literal(found.until)}"
    answer = await orders.post(
        "/snapshots", entity=found.entity, where=where, fields=[], channel=found.channel, by=by
    )
    return RepairOrder(id=str(answer["id"]), channel=str(answer["channel"]), left=left)


def _literal(epoch_s: float) -> str:
    return as_event_time(datetime.fromtimestamp(epoch_s, UTC))


def _beyond(left: int) -> str:
    one = left == 1
    return (
        f"{left:,} {'deletion or absent record is' if one else 'deletions or absent records are'} beyond it."
    )
