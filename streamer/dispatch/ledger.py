"""Ledger of one subscriber: settled and parked events that must be recorded in the log."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence

import structlog

from streamer.backoff import Backoff, Delays
from streamer.clock import Clock
from streamer.dispatch.partition_progress import (
    OffsetTracker,
    PartitionProgress,
    Pending,
    Proof,
    settlements,
)
from streamer.errors import Fenced, LogUnavailable
from streamer.events import DeadLetter, Entry, Partition
from streamer.ports import Assigned, Feed, LaneChange, Recorded, Settlement

_log = structlog.get_logger()

# The pauses are short: while partitions move, the log briefly accepts no record, and a crash
# would repeat the events that were finished in that time.
_BACKOFF = Backoff(first_s=0.1, limit_s=1.0)
_CROWD = 100_000


class Ledger:
    """Collects settled events, dead letters and parked events, and records them together.

    The ledger begins a record as soon as the previous record is in the log. So a crash
    repeats only the events in flight. Events that settle while a record is made are
    part of the next record. While an `ownership_check` lasts, the ledger also records
    progress that the log already has, to prove the ownership.

    At most `most_finished` deliveries should be unrecorded, so a caller must wait for
    `room` before a delivery.
    """

    def __init__(self, clock: Clock, *, most_finished: int) -> None:
        self._clock = clock
        self.ownership_check = OwnershipCheck()
        self._held: dict[Partition, PartitionProgress] = {}
        self._unrecorded = 0
        self._finished = 0
        self._most_finished = most_finished
        self._roomy = asyncio.Event()
        self._roomy.set()
        self._unrecorded_since: float | None = None
        self._confirmed_at = 0.0
        self._giving_up = 0
        self._recording = asyncio.Lock()
        self._changed = asyncio.Event()
        self._complete = asyncio.Event()
        self._complete.set()
        self._records_begun = 0
        self._records_ended = 0
        self._record_ended = asyncio.Event()

    @property
    def partitions(self) -> frozenset[Partition]:
        """Partitions that are assigned to this process."""
        return frozenset(self._held)

    @property
    def crowded(self) -> frozenset[Partition]:
        """Partitions in which too many events are settled after an event that is not settled."""
        return frozenset(
            partition
            for partition, each in self._held.items()
            if each.crowded or each.tracker.settled_above >= _CROWD
        )

    @property
    def unrecorded(self) -> int:
        """Number of events settled or parked since the last record; a crash repeats these events."""
        return self._unrecorded

    @property
    def unrecorded_since(self) -> float | None:
        """Time since which the log has not accepted a pending record, in monotonic seconds."""
        return self._unrecorded_since

    @property
    def is_full(self) -> bool:
        """True while `most_finished` or more deliveries are unrecorded; a crash would repeat them all."""
        return not self._roomy.is_set()

    async def room(self) -> None:
        """Wait until fewer than `most_finished` deliveries are unrecorded."""
        await self._roomy.wait()

    def unconfirmed_s(self) -> float:
        """Return the seconds for which the log has not accepted a pending record."""
        if self._unrecorded_since is None:
            return 0.0
        return self._clock.monotonic() - max(self._unrecorded_since, self._confirmed_at)

    def assign(self, assigned: Assigned) -> None:
        """Add partitions with their settled offsets."""
        for partition, progress in assigned.progress.items():
            self._held[partition] = PartitionProgress(
                partition=partition,
                assignment=assigned.assignment,
                tracker=OffsetTracker(progress),
                recorded=progress,
            )
        self.ownership_check.assigned(assigned.progress)
        if self.ownership_check.lasts:
            self._change()

    async def give_up(self, feed: Feed, partitions: frozenset[Partition]) -> None:
        """Remove partitions, after a last attempt to record their finished events.

        The next owner repeats unrecorded events.
        """
        self._giving_up += 1
        try:
            # If a record is being made, wait for its end, so that no change is recorded twice.
            async with self._recording:
                last = self._settlements(partitions)
                self.revoke(partitions)
                for settlement in last:
                    await self._record_last(feed, settlement)
        finally:
            self._giving_up -= 1
            self._change()

    def revoke(self, partitions: frozenset[Partition]) -> None:
        """Remove partitions."""
        for partition in partitions:
            self._held.pop(partition, None)
        self.ownership_check.revoked(partitions)
        self._change()

    def doubt_ownership(self) -> None:
        """Treat the ownership of each partition as unconfirmed until the log accepts a record of it."""
        self.ownership_check.begin(self._held)
        self._change()

    def opened(self, entry: Entry) -> None:
        """Note an event that waits for delivery."""
        self._held[entry.partition].tracker.opened(entry.offset)

    def passed(self, through: Mapping[Partition, int]) -> None:
        """Note the offsets up to which partitions were read."""
        for partition, offset in through.items():
            if partition_progress := self._held.get(partition):
                partition_progress.tracker.passed(offset)
        self._change()

    def is_settled(self, entry: Entry) -> bool | None:
        """Return whether the offset of `entry` is settled; `None` if its partition is not assigned."""
        partition_progress = self._held.get(entry.partition)
        return None if partition_progress is None else partition_progress.tracker.is_settled(entry.offset)

    def skip(self, entry: Entry, *proofs: Proof) -> None:
        """Note that `entry` needs no delivery; `proofs` are recorded together with its progress."""
        self._settle(entry, proofs)

    def finish(self, entry: Entry, *proofs: Proof) -> None:
        """Note that the delivery of `entry` has ended; `proofs` are its dead letter or receipt."""
        if self._settle(entry, proofs):
            self._count()

    def park(self, change: LaneChange, absorbed: Sequence[Entry] = ()) -> None:
        """Note that the events which join a lane must be parked in the log; their offsets are settled.

        The offsets of the `absorbed` halves are also settled.
        """
        if partition_progress := self._held.get(change.partition):
            for entry in (*change.joined, *absorbed):
                partition_progress.tracker.settled(entry.offset)
            self._alter(partition_progress, change, ())
            self._unrecorded += max(0, len(change.joined) - 1)

    def alter(self, change: LaneChange, *proofs: Proof) -> None:
        """Note a change of a parked lane; `proofs` belong to an event that leaves the lane."""
        if partition_progress := self._held.get(change.partition):
            self._alter(partition_progress, change, proofs)
            if change.left:
                self._count()

    def redrive(self, change: LaneChange, letter: DeadLetter) -> None:
        """Note that a dead letter's event joins a parked lane; its record also removes the dead letter."""
        if partition_progress := self._held.get(change.partition):
            partition_progress.pending.redrive([letter.id])
            self._alter(partition_progress, change, ())

    def is_redriven(self, letter: DeadLetter) -> bool:
        """Return true for a dead letter whose redrive the log has not recorded yet."""
        partition_progress = None if letter.partition is None else self._held.get(letter.partition)
        return partition_progress is not None and (
            letter.id in partition_progress.pending.redriven
            or letter.id in partition_progress.in_flight.redriven
        )

    async def recall(self, feed: Feed, partition: Partition, offsets: Sequence[int]) -> list[Entry]:
        """Return parked events in the order of `offsets`, including events that are not recorded yet.

        An event that exists nowhere is missing in the result. Raises `LogUnavailable`.
        """
        found = {entry.offset: entry for entry in self._being_parked(partition)}
        missing = [offset for offset in offsets if offset not in found]
        if missing:
            found |= {entry.offset: entry for entry in await feed.recall(partition, missing)}
        return [found[offset] for offset in offsets if offset in found]

    async def record(self, feed: Feed) -> None:
        """Wait for a change and record it; retry until the log accepts the record."""
        await self._changed.wait()
        delays = Delays(_BACKOFF)
        while not await self._is_recorded(feed):
            await self._clock.sleep(delays.next_s())
        if not self._changed.is_set() and not self._giving_up:
            self._complete.set()

    async def complete(self) -> None:
        """Wait until all settled events are recorded, and no partition is being released."""
        await self._complete.wait()

    async def caught_up(self) -> None:
        """Wait until the log has recorded everything that is settled now."""
        if self._unrecorded_since is None:
            return
        # A record that is being made does not contain events that were settled after it began,
        # so the next record must also end.
        covering = self._records_begun + 1
        while self._records_ended < covering and self._unrecorded_since is not None:
            self._record_ended.clear()
            await self._record_ended.wait()

    def _change(self) -> None:
        if self._unrecorded_since is None:
            self._unrecorded_since = self._clock.monotonic()
        self._changed.set()
        self._complete.clear()

    def _settle(self, entry: Entry, proofs: Iterable[Proof]) -> bool:
        """Settle the offset of `entry`; return whether this process owns its partition."""
        partition_progress = self._held.get(entry.partition)
        if partition_progress is None:
            return False
        partition_progress.tracker.settled(entry.offset)
        self._keep(partition_progress, proofs)
        return True

    def _alter(
        self, partition_progress: PartitionProgress, change: LaneChange, proofs: Iterable[Proof]
    ) -> None:
        partition_progress.pending.change(change)
        self._keep(partition_progress, proofs)

    def _keep(self, partition_progress: PartitionProgress, proofs: Iterable[Proof]) -> None:
        for proof in proofs:
            partition_progress.pending.keep(proof)
        self._unrecorded += 1
        self._change()

    def _count(self) -> None:
        self._finished += 1
        if self._finished >= self._most_finished:
            self._roomy.clear()

    def _being_parked(self, partition: Partition) -> Iterable[Entry]:
        if partition_progress := self._held.get(partition):
            yield from partition_progress.in_flight.entries()
            yield from partition_progress.pending.entries()

    async def _record_last(self, feed: Feed, settlement: Settlement) -> None:
        try:
            await feed.settle(settlement)
        except (LogUnavailable, Fenced) as error:
            _log.warning("progress.not_recorded", reason=str(error), partitions=len(settlement.progress))

    async def _is_recorded(self, feed: Feed) -> bool:
        async with self._recording:
            self._changed.clear()
            self._records_begun += 1
            covered, finished, began = self._unrecorded, self._finished, self._clock.monotonic()
            try:
                for settlement in self._settlements(self.partitions):
                    number = self.ownership_check.number
                    self._remember(settlement, await feed.settle(settlement), number)
            except (LogUnavailable, Fenced) as error:
                # `Fenced` means that a partition was lost; nothing was recorded for the other
                # partitions either. The next page of the feed reports the lost partition.
                _log.warning("progress.not_recorded", reason=str(error))
                return False
            self._unrecorded -= covered
            self._finished -= finished
            if self._finished < self._most_finished:
                self._roomy.set()
            self._unrecorded_since = began if self._changed.is_set() else None
            self._records_ended = self._records_begun
            self._record_ended.set()
            return True

    def _remember(self, settlement: Settlement, recorded: Recorded, check: int) -> None:
        if recorded.partitions:
            self._confirmed_at = self._clock.monotonic()
        for partition in recorded.partitions:
            partition_progress = self._held.get(partition)
            # The partition can have been lost and assigned again while the log was recording.
            if partition_progress and partition_progress.assignment == settlement.assignment:
                partition_progress.recorded = settlement.progress[partition]
                partition_progress.crowded = partition in recorded.crowded
                partition_progress.in_flight = Pending()
                self.ownership_check.recorded(partition, number=check)

    def _settlements(self, partitions: Iterable[Partition]) -> list[Settlement]:
        held = [self._held[partition] for partition in partitions if partition in self._held]
        return settlements([each for each in held if self._take(each)])

    def _take(self, partition_progress: PartitionProgress) -> bool:
        """Move pending changes into the next record; return whether there is something to record."""
        partition_progress.take()
        return partition_progress.has_news or self.ownership_check.covers(partition_progress.partition)


class OwnershipCheck:
    """Check after a freeze that this process still owns its partitions.

    The check ends when the log has accepted a record of every partition. A record
    proves the ownership only if it began after the freeze, and only for the assignment
    that it records. A partition that is assigned during a check is also checked,
    because its assignment can be older than the freeze. A check that begins without
    partitions waits for the first partition.
    """

    def __init__(self) -> None:
        self._partitions: set[Partition] = set()
        self._unproven = False
        self._over = asyncio.Event()
        self._over.set()
        self.number = 0

    @property
    def lasts(self) -> bool:
        """True while the check lasts. No event is delivered during the check."""
        return not self._over.is_set()

    def covers(self, partition: Partition) -> bool:
        """Return true while the ownership of `partition` is unproven."""
        return partition in self._partitions

    def begin(self, partitions: Collection[Partition]) -> None:
        """Begin a check of `partitions`; a record that began before the check proves nothing."""
        self._partitions.update(partitions)
        self._unproven = True
        self._over.clear()
        self.number += 1

    def assigned(self, partitions: Collection[Partition]) -> None:
        """Add newly assigned partitions to a running check."""
        if self.lasts:
            self._partitions.update(partitions)

    def revoked(self, partitions: Collection[Partition]) -> None:
        """Remove partitions that this process certainly does not own."""
        self._partitions.difference_update(partitions)
        self._end()

    def recorded(self, partition: Partition, *, number: int) -> None:
        """Note a successful record of `partition`; `number` was the current check when the record began."""
        if number == self.number and self.covers(partition):
            self._partitions.discard(partition)
            self._unproven = False
            self._end()

    async def over(self) -> None:
        """Wait until the ownership of all partitions is proven."""
        await self._over.wait()

    def _end(self) -> None:
        if not self._unproven and not self._partitions:
            self._over.set()
