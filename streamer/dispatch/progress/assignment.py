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
class Holding:
    """One partition under one assignment: what is settled, and what of it the log knows.

    It is `crowded` when the log can hardly keep more of it. `under_way` is
    being recorded, and `pending` is to be.
    """

    partition: Partition
    assignment: int
    tracker: OffsetTracker
    recorded: Progress
    crowded: bool = False
    under_way: Pending = field(default_factory=Pending)
    pending: Pending = field(default_factory=Pending)

    @property
    def has_news(self) -> bool:
        """Whether the log does not know everything that is under way."""
        return bool(self.under_way) or self.tracker.progress() != self.recorded

    def take(self) -> None:
        """Let what is pending be recorded with what is under way."""
        self.under_way.add(self.pending)
        self.pending = Pending()


def settlements(holdings: Iterable[Holding]) -> list[Settlement]:
    """Return what is to be recorded of `holdings`.

    A settlement names one assignment, and kept partitions belong to an older
    one than those that were added since.
    """
    by_assignment = attrgetter("assignment")
    return [
        _settlement(number, list(group))
        for number, group in groupby(sorted(holdings, key=by_assignment), by_assignment)
    ]


def _settlement(assignment: int, holdings: list[Holding]) -> Settlement:
    under_way = [holding.under_way for holding in holdings]
    return Settlement(
        assignment=assignment,
        progress={holding.partition: holding.tracker.progress() for holding in holdings},
        set_aside=tuple(letter for each in under_way for letter in each.letters),
        lanes=tuple(lane for each in under_way for lane in each.lanes.values()),
        receipts=tuple(receipt for each in under_way for receipt in each.receipts),
        redriven=tuple(letter for each in under_way for letter in each.redriven),
    )
