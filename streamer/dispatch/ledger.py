"""What one subscriber has finished, on its way into the log."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping

import structlog

from streamer.clock import Clock
from streamer.dispatch.tracker import OffsetTracker
from streamer.errors import Fenced, LogUnavailable
from streamer.events import DeadLetter, Entry, Partition, Progress
from streamer.ports import Assigned, Feed, Settlement

_log = structlog.get_logger()

_PAUSE_S = 1.0


class Ledger:
    """Collects settled offsets and dead letters and records them together.

    It records as soon as the former record is in the log, so a crash repeats
    only what was in flight, and what settles meanwhile goes in one.
    """

    def __init__(self, clock: Clock) -> None:
        """Begin with no partitions."""
        self._clock = clock
        self._trackers: dict[Partition, OffsetTracker] = {}
        self._recorded: dict[Partition, Progress] = {}
        self._letters: list[tuple[Partition, DeadLetter]] = []
        self._changed = asyncio.Event()

    @property
    def partitions(self) -> frozenset[Partition]:
        """The partitions that are ours."""
        return frozenset(self._trackers)

    def assign(self, assigned: Assigned) -> None:
        """Take over partitions as far as they are settled."""
        for partition, progress in assigned.progress.items():
            self._trackers[partition] = OffsetTracker(progress, assignment=assigned.assignment)
            self._recorded[partition] = progress

    def revoke(self, partitions: frozenset[Partition]) -> None:
        """Forget partitions; their next owner repeats what was not recorded."""
        for partition in partitions:
            self._trackers.pop(partition, None)
            self._recorded.pop(partition, None)
        self._letters = [(owner, letter) for owner, letter in self._letters if owner not in partitions]

    def opened(self, entry: Entry) -> None:
        """Note an event that is to be delivered."""
        self._trackers[entry.partition].opened(entry.offset)

    def passed(self, through: Mapping[Partition, int]) -> None:
        """Note how far reading has come."""
        for partition, offset in through.items():
            if tracker := self._trackers.get(partition):
                tracker.passed(offset)
        self._changed.set()

    def settle(self, entry: Entry, letter: DeadLetter | None = None) -> None:
        """Note that `entry` needs no more deliveries, because it became `letter` where one is given."""
        if tracker := self._trackers.get(entry.partition):
            tracker.settled(entry.offset)
            if letter is not None:
                self._letters.append((entry.partition, letter))
            self._changed.set()

    async def keep(self, feed: Feed) -> None:
        """Record whatever changes, until cancelled."""
        while True:
            await self._changed.wait()
            try:
                await self.record(feed)
            except LogUnavailable as error:
                _log.warning("progress.not_recorded", reason=str(error), tried_again_in_s=_PAUSE_S)
                self._changed.set()
                await self._clock.sleep(_PAUSE_S)

    async def record(self, feed: Feed) -> None:
        """Record what has changed since the last time. Raises `LogUnavailable`."""
        self._changed.clear()
        for settlement in self._settlements():
            letters = {letter.id for letter in settlement.set_aside}
            try:
                await feed.settle(settlement)
            except Fenced as error:
                _log.warning("progress.fenced", reason=str(error))
            self._letters = [(owner, letter) for owner, letter in self._letters if letter.id not in letters]
            for partition, progress in settlement.progress.items():
                if partition in self._recorded:
                    self._recorded[partition] = progress

    def _settlements(self) -> list[Settlement]:
        # A settlement names one assignment, and kept partitions belong to an
        # older one than those that were added since.
        progress: dict[int, dict[Partition, Progress]] = defaultdict(dict)
        letters: dict[int, list[DeadLetter]] = defaultdict(list)
        for owner, letter in self._letters:
            letters[self._trackers[owner].assignment].append(letter)
        for partition, tracker in self._trackers.items():
            current = tracker.progress()
            if current != self._recorded[partition]:
                progress[tracker.assignment][partition] = current
        return [
            Settlement(assignment=number, progress=moved, set_aside=letters[number])
            for number, moved in progress.items()
        ]
