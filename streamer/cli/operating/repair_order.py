"""Repair order: a snapshot of the differences that a comparison found."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from streamer.cli.output import counted
from streamer.continuity.reconciling import DriftKind, Reconciled
from streamer.events import JsonObject
from streamer.normalise.malformed import as_event_time


class Orders(Protocol):
    """Part of the admin API that accepts orders."""

    async def post(self, path: str, **body: Any) -> JsonObject:
        """Send `body` to `path`, and return the answer; raises `ApiRefused`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairOrder:
    """Repair order that a daemon accepted. `left` counts absent records, which no snapshot can repair."""

    id: str | None
    channel: str
    left: int

    @property
    def sentence(self) -> str:
        """Sentence that tells the operator the result."""
        absent = f"The repair excludes {counted(self.left, 'record')} that the org does not have."
        if self.id is None:
            return (
                f"No repair was ordered: Streamer can't repair {counted(self.left, 'record')} that the "
                "org does not have."
            )
        watch = f"`streamer snapshot watch {self.id}` shows the progress."
        told = (
            f"Repair ordered: snapshot {self.id} publishes the changed and deleted records again in "
            f"{self.channel}. {watch}"
        )
        return f"{told} {absent}" if self.left else told


async def ordered_repair(orders: Orders, found: Reconciled, *, by: str) -> RepairOrder:
    """Order a snapshot of the records that changed or were deleted since the window began.

    The process that owns the channel reads the records' present state in the same loop
    that writes the channel's events. So no older state can follow a newer event. The
    snapshot has no upper bound, because the event of a later change contains only that
    change. The snapshot does not contain records that are absent from the org. The
    result's `id` is `None` if no record can be repaired. Raises `ApiRefused`.
    """
    left = found.counts.get(DriftKind.ABSENT, 0)
    if left == sum(found.counts.values()):
        return RepairOrder(id=None, channel=found.channel, left=left)
    since = as_event_time(datetime.fromtimestamp(found.since, UTC))
    answer = await orders.post("/snapshots", entity=found.entity, since=since, channel=found.channel, by=by)
    return RepairOrder(id=str(answer["id"]), channel=str(answer["channel"]), left=left)
