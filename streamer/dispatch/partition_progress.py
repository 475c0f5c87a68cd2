"""Progress of one subscriber in one partition: settled offsets, and the records to write."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import groupby
from operator import attrgetter

from streamer.events import DeadLetter, Entry, Forwarded, Partition, Receipt, SettledOffsets
from streamer.ports import LaneChange, Settlement


class OffsetTracker:
    """Tracks the offsets of one partition through delivery.

    The committed prefix never passes an open offset. Settled offsets above the prefix
    are also stored, so that a crash repeats only events at open offsets.
    """

    def __init__(self, progress: SettledOffsets) -> None:
        """Continue from `progress`."""
        self._through = progress.next_offset
        self._open: deque[int] = deque()
        self._settled = set(progress.settled_above)
        self._progress: SettledOffsets | None = progress

    @property
    def settled_above(self) -> int:
        """Number of settled offsets after an open offset."""
        return len(self._settled)

    def opened(self, offset: int) -> None:
        """Note that `offset` was read and waits for delivery; offsets must come in rising order."""
        self._open.append(offset)
        self._moved_to(offset + 1)

    def passed(self, through: int) -> None:
        """Note that all offsets below `through` were read; offsets without `opened` need no delivery."""
        self._moved_to(through)

    def is_settled(self, offset: int) -> bool:
        """Return whether `offset` needs no more deliveries."""
        if offset in self._settled or offset < (self._open[0] if self._open else self._through):
            return True
        return offset < self._through and offset not in self._open

    def settled(self, offset: int) -> None:
        """Note that `offset` needs no more deliveries."""
        self._settled.add(offset)
        self._progress = None

    def progress(self) -> SettledOffsets:
        """Return the end of the settled prefix, and the settled offsets above this end."""
        if self._progress is None:
            self._progress = self._computed()
        return self._progress

    def _moved_to(self, through: int) -> None:
        self._through = max(self._through, through)
        self._progress = None

    def _computed(self) -> SettledOffsets:
        while self._open and self._open[0] in self._settled:
            self._settled.remove(self._open.popleft())
        prefix = self._open[0] if self._open else self._through
        # A previous owner can have settled offsets that this process never opened.
        self._settled = {offset for offset in self._settled if offset >= prefix}
        return SettledOffsets(next_offset=prefix, settled_above=frozenset(self._settled))


Proof = DeadLetter | Receipt | Forwarded
"""Record of the outcome of an event."""


@dataclass(slots=True, kw_only=True)
class Pending:
    """Dead letters, receipts, forwarded events and changes of parked lanes that must be recorded.

    All changes of a lane are merged into one change.
    """

    letters: list[DeadLetter] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    forwarded: list[Forwarded] = field(default_factory=list)
    redriven: list[str] = field(default_factory=list)
    lanes: dict[str, LaneChange] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.letters or self.receipts or self.forwarded or self.redriven or self.lanes)

    def keep(self, proof: Proof) -> None:
        """Add the record of an event's outcome."""
        match proof:
            case DeadLetter():
                self.letters.append(proof)
            case Receipt():
                self.receipts.append(proof)
            case Forwarded():
                self.forwarded.append(proof)

    def change(self, change: LaneChange) -> None:
        """Add a change of one lane."""
        former = self.lanes.get(change.lane)
        self.lanes[change.lane] = change if former is None else _joined(former, change)

    def redrive(self, letters: Iterable[str]) -> None:
        """Add ids of dead letters to remove, whether or not the log has these dead letters yet."""
        gone = set(letters)
        self.letters = [letter for letter in self.letters if letter.id not in gone]
        self.redriven += letters

    def add(self, newer: "Pending") -> None:
        """Add later changes."""
        self.redrive(newer.redriven)
        self.letters += newer.letters
        self.receipts += newer.receipts
        self.forwarded += newer.forwarded
        for change in newer.lanes.values():
            self.change(change)

    def entries(self) -> Iterable[Entry]:
        """Yield the events that are being parked."""
        for change in self.lanes.values():
            yield from change.joined


def _joined(former: LaneChange, later: LaneChange) -> LaneChange:
    joined, left = former.joined, former.left
    if leaving := set(later.left):
        joined = [entry for entry in joined if entry.offset not in leaving]
    # It can be unknown whether the log has the earlier change. So the merged change repeats the
    # offsets that left in the earlier change, except offsets that came back.
    if left and (joining := {entry.offset for entry in later.joined}):
        left = [offset for offset in left if offset not in joining]
    return replace(later, joined=(*joined, *later.joined), left=(*left, *later.left))


@dataclass(slots=True, kw_only=True)
class PartitionProgress:
    """One partition under one assignment, with its settled and recorded offsets.

    `crowded` is true when the log has little room for more settled offsets of the
    partition. `in_flight` has the changes that are being recorded, and `pending` has
    the changes for the next record.
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
        """True while some changes of the partition are not recorded."""
        return bool(self.in_flight) or self.tracker.progress() != self.recorded

    def take(self) -> None:
        """Move the pending changes to `in_flight`, for the record that is made now."""
        self.in_flight.add(self.pending)
        self.pending = Pending()


def settlements(held: Iterable[PartitionProgress]) -> list[Settlement]:
    """Return the settlements that record `held`.

    A settlement has one assignment, and partitions from different assignments need
    different settlements.
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
