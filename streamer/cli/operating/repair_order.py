"""Order of a repair: a snapshot of what a comparison found."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from streamer.continuity.reconciling import DriftKind, Reconciled
from streamer.events import JsonObject
from streamer.normalise.malformed import as_event_time


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
        """Sentence about it for the operator."""
        absent = f"{self.left:,} absent {'record is' if self.left == 1 else 'records are'} beyond it."
        if self.id is None:
            return f"No order was given: {absent}"
        watch = f"`streamer snapshot watch {self.id}` shows its progress."
        told = f"Ordered: {self.id} publishes what was changed and deleted again in {self.channel}. {watch}"
        return f"{told} {absent}" if self.left else told


async def ordered_repair(orders: Orders, found: Reconciled, *, by: str) -> RepairOrder:
    """Order a snapshot of what was changed and deleted since the window began, from the channel's owner.

    It reads the records as they are now, in the one loop that writes the channel,
    so that nothing older can follow a newer event. It has no end: events of a later
    change hold the later change alone. Records that the org does not have are left
    out. Raises `ApiRefused`.
    """
    left = found.counts.get(DriftKind.ABSENT, 0)
    if left == sum(found.counts.values()):
        return RepairOrder(id=None, channel=found.channel, left=left)
    since = as_event_time(datetime.fromtimestamp(found.since, UTC))
    answer = await orders.post("/snapshots", entity=found.entity, since=since, channel=found.channel, by=by)
    return RepairOrder(id=str(answer["id"]), channel=str(answer["channel"]), left=left)
