"""Progress of one subscriber in one partition, and the log's record of it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter

from streamer.dispatch.progress.offset_tracker import OffsetTracker
from streamer.dispatch.progress.pending import Pending
from streamer.events import Partition, SettledOffsets
from streamer.ports import Settlement


@dataclass(slots=True, kw_only=True)
class PartitionProgress:
    """One partition under one assignment, with its settled and its recorded offsets.

    It is `crowded` when the log can hardly keep more settled offsets of it.
    `in_flight` is being recorded, and `pending` is to be recorded next.
    """

    partition: Partition
    assignment: int
    tracker: OffsetTracker
    recorded: SettledOffsets
    crowded: bool = False
    in_flight: Pending = field(default_factory=Pending)
    pending: Pending = field(default_factory=Pending)

    @property
    def has_news(self) -> bool:
        """True while the log lacks any of its changes."""
        return bool(self.in_flight) or self.tracker.progress() != self.recorded

    def take(self) -> None:
        """Move pending changes into the record that is being made."""
        self.in_flight.add(self.pending)
        self.pending = Pending()


def settlements(held: Iterable[PartitionProgress]) -> list[Settlement]:
    """Return the settlements that record `held`.

    A settlement names one assignment, and kept partitions belong to an older
    one than partitions added since.
    """
    by_assignment = attrgetter("assignment")
    return [
        _settlement(number, list(group))
        for number, group in groupby(sorted(held, key=by_assignment), by_assignment)
    ]


def _settlement(assignment: int, held: list[PartitionProgress]) -> Settlement:
    in_flight = [partition_progress.in_flight for partition_progress in held]
    return Settlement(
        assignment=assignment,
        progress={
            partition_progress.partition: partition_progress.tracker.progress() for partition_progress in held
        },
        set_aside=tuple(letter for each in in_flight for letter in each.letters),
        lanes=tuple(lane for each in in_flight for lane in each.lanes.values()),
        receipts=tuple(receipt for each in in_flight for receipt in each.receipts),
        redriven=tuple(letter for each in in_flight for letter in each.redriven),
        forwarded=tuple(event for each in in_flight for event in each.forwarded),
    )
