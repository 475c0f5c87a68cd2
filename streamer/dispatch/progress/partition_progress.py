"""What one subscriber has finished of a partition, and what of that the log knows."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter

from streamer.dispatch.progress.offset_tracker import OffsetTracker
from streamer.dispatch.progress.pending import Pending
from streamer.events import Partition, Progress
from streamer.ports import Settlement


@dataclass(slots=True, kw_only=True)
class PartitionProgress:
    """One partition under one assignment: what is settled, and what of it the log knows.

    It is `crowded` when the log can hardly keep more of it. `in_flight` is
    being recorded, and `pending` is to be.
    """

    partition: Partition
    assignment: int
    tracker: OffsetTracker
    recorded: Progress
    crowded: bool = False
    in_flight: Pending = field(default_factory=Pending)
    pending: Pending = field(default_factory=Pending)

    @property
    def has_news(self) -> bool:
        """Whether the log does not know everything that is under way."""
        return bool(self.in_flight) or self.tracker.progress() != self.recorded

    def take(self) -> None:
        """Let what is pending be recorded with what is under way."""
        self.in_flight.add(self.pending)
        self.pending = Pending()


def settlements(held: Iterable[PartitionProgress]) -> list[Settlement]:
    """Return what is to be recorded of `held`.

    A settlement names one assignment, and kept partitions belong to an older
    one than those that were added since.
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
    )
