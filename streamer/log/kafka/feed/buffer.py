"""Thread-safe buffer between the threads that read from Kafka and the event loop that delivers."""

import asyncio
import threading
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from streamer.events import DeadLetter, Entry, Partition
from streamer.log.kafka.cluster.threads import conclude
from streamer.ports import Assigned, Page, Recorded, Revoked, Settlement


@dataclass(slots=True, kw_only=True)
class ReadRange:
    """Result of reading one partition under one assignment; `through` is the offset read so far.

    `end` is the known end offset of the partition. `unreadable` contains a dead
    letter for each record that can't be read as an event, by offset.
    """

    assignment: int
    through: int
    end: int = 0
    entries: list[Entry] = field(default_factory=list)
    unreadable: dict[int, DeadLetter] = field(default_factory=dict)


class PartitionBuffer:
    """Buffered entries of one partition in order, and its positions.

    The reader's thread has read up to the offset `through`. The event loop has
    taken the entries up to the offset `reported`.

    `size` is the size of the entries in bytes. `end` is the known end offset of the
    partition. The dead letters in `unreadable` wait until progress is recorded.
    """

    def __init__(self, begin: int, assignment: int) -> None:
        """Begin empty at the offset `begin`, for records of the assignment number `assignment`."""
        self.assignment = assignment
        self.through = self.reported = self.end = begin
        self.entries: deque[Entry] = deque()
        self.unreadable: dict[int, DeadLetter] = {}
        self.size = 0

    def put(self, read_range: ReadRange) -> None:
        """Append the entries of `read_range`, and advance the positions."""
        self.through = max(self.through, read_range.through)
        self.end = max(self.end, read_range.end, self.through)
        self.entries += read_range.entries
        self.unreadable |= read_range.unreadable
        self.size += sum(entry.size for entry in read_range.entries)

    def take(self, room: int) -> list[Entry]:
        """Remove and return the first entries, at most `room` of them."""
        taken: list[Entry] = []
        while self.entries and len(taken) < room:
            entry = self.entries.popleft()
            taken.append(entry)
            self.size -= entry.size
        self.reported = self.entries[0].offset if self.entries else self.through
        return taken


PAGE_ENTRIES = 500
_FULL_ENTRIES = 1_000
_FULL_BYTES = 8 * 1024 * 1024
# A dead letter that waits for a settlement keeps the bytes of its record in memory.
_MAX_UNREADABLE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingSettlement:
    """Settlement that is not in the log yet, with the future of its caller."""

    settlement: Settlement
    done: asyncio.Future[Recorded]


class FeedBuffer:
    """Bounded queues of entries, one for each partition, and a queue of settlements, which go to Kafka.

    The event loop calls `take` and the methods that are defined between `take` and
    `close`. Two threads call the methods that are defined below `close`. The member's
    thread follows the group and records settlements. The reader's thread fills the
    queues with `put` and the methods below `put`. A thread never waits longer than its
    time-out, and the loop never waits for a thread.
    """

    def __init__(self) -> None:
        """Begin empty, on the running loop."""
        self.loop = asyncio.get_running_loop()
        self._filled = asyncio.Event()
        lock = threading.RLock()
        # The member waits on the first condition, the reader on the second.
        self._changed = threading.Condition(lock)
        self._roomy = threading.Condition(lock)
        self._changes: deque[Assigned | Revoked] = deque()
        self._partitions: dict[Partition, PartitionBuffer] = {}
        self._settlements: deque[PendingSettlement] = deque()
        self._paused: frozenset[Partition] = frozenset()
        self._expired: set[Partition] = set()
        self._failure: Exception | None = None
        self._broken: Exception | None = None
        self._handed = False
        self._full = False
        self._unreadable = 0
        self._closing = False

    def take(self) -> Assigned | Revoked | Page | None:
        """Return the next page or change, or `None` when nothing is ready; raises the error of a thread."""
        with self._changed:
            self._filled.clear()
            # The loop calls this method again only after it has processed the previous result.
            self._handed = False
            self._changed.notify_all()
            taken = self._change() or self._page()
            self._recount()
            return taken

    async def filled(self) -> None:
        """Wait until `take` may return a result."""
        await self._filled.wait()

    def pause(self, partitions: frozenset[Partition]) -> None:
        """Return no more entries of `partitions`; keep their buffered entries."""
        with self._changed:
            self._paused |= partitions
            self._recount()

    def resume(self, partitions: frozenset[Partition]) -> None:
        """Undo `pause`."""
        with self._changed:
            self._paused -= partitions
            self._recount()
            self._filled.set()

    def ask(self, settlement: Settlement) -> asyncio.Future[Recorded]:
        """Queue `settlement` for the member's thread; the future gets its result."""
        done: asyncio.Future[Recorded] = self.loop.create_future()
        with self._changed:
            if self._broken is not None:
                raise self._broken
            self._settlements.append(PendingSettlement(settlement=settlement, done=done))
            self._changed.notify_all()
        return done

    def close(self) -> None:
        """Tell the threads to end."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            self._roomy.notify_all()

    @property
    def closing(self) -> bool:
        """True once the threads must end."""
        return self._closing

    def assign(self, assigned: Assigned) -> None:
        """Announce assigned partitions to the loop, before any of their entries."""
        with self._changed:
            for partition, progress in assigned.progress.items():
                self._partitions[partition] = PartitionBuffer(progress.next_offset, assigned.assignment)
            self._recount()
            self._changes.append(assigned)
            self._wake()

    def revoke(self, partitions: frozenset[Partition]) -> None:
        """Announce revoked partitions to the loop, and drop their buffered entries."""
        with self._changed:
            for partition in partitions:
                self._partitions.pop(partition, None)
            # The next assignment finds the same hole again.
            self._expired -= partitions
            self._recount()
            self._changes.append(Revoked(partitions=partitions))
            self._wake()

    def expire(self, partition: Partition) -> None:
        """Let the next page of `partition` say that the log has deleted events that were not read."""
        with self._changed:
            self._expired.add(partition)
            self._wake()

    def pending_settlements(self) -> list[PendingSettlement]:
        """Remove and return the settlements that wait to be recorded, in order."""
        with self._changed:
            asked = list(self._settlements)
            self._settlements.clear()
            return asked

    def postpone(self, settlements: Sequence[PendingSettlement]) -> None:
        """Put settlements back into the queue, before newer settlements."""
        with self._changed:
            self._settlements.extendleft(reversed(settlements))

    def settled(self, pending: PendingSettlement, outcome: Recorded | Exception) -> None:
        """Resolve the future of `pending`."""
        self.loop.call_soon_threadsafe(conclude, pending.done, outcome)

    def take_unreadable(self, held: int) -> Mapping[Partition, Mapping[int, DeadLetter]]:
        """Remove and return the dead letters of unreadable records, which the caller must record.

        `held` is the number of such dead letters that the member already holds. Reading
        stops while there are 500 or more in total.
        """
        with self._changed:
            taken = {of: each.unreadable for of, each in self._partitions.items() if each.unreadable}
            for partition in taken:
                self._partitions[partition].unreadable = {}
            self._unreadable = held + sum(map(len, taken.values()))
            self._roomy.notify_all()
            return taken

    def wait_for_settlement(self, timeout_s: float) -> None:
        """Return when a settlement is queued, when the threads must end, or after `timeout_s`."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._settlements) or self._closing, timeout_s)

    def wait_until_processed(self, timeout_s: float) -> bool:
        """Wait until the loop has processed every change; return true if it has processed all of them.

        A queued settlement, the end of the threads, or `timeout_s` also ends the wait.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_processed() or bool(self._settlements) or self._closing, timeout_s
            )
            return self._is_processed()

    def wait(self, timeout_s: float) -> None:
        """Wait for `timeout_s`, or less if the threads must end."""
        if timeout_s > 0:
            with self._changed:
                self._changed.wait_for(lambda: self._closing, timeout_s)

    def fail(self, error: Exception) -> None:
        """Let the loop's next `take` raise `error` once; reading can continue."""
        with self._changed:
            self._failure = error
            self._wake()

    def break_off(self, error: Exception) -> None:
        """Let every waiting and every later caller raise `error`, because the member's thread has ended."""
        with self._changed:
            self._broken = error
            unsettled = list(self._settlements)
            self._settlements.clear()
            self._wake()
        for pending in unsettled:
            self.settled(pending, error)

    def put(self, read_ranges: Mapping[Partition, ReadRange]) -> None:
        """Buffer the records that were read; drop records of an earlier assignment."""
        with self._changed:
            worth_telling = False
            for partition, read_range in read_ranges.items():
                partition_buffer = self._partitions.get(partition)
                if partition_buffer is not None and partition_buffer.assignment == read_range.assignment:
                    worth_telling |= read_range.through > partition_buffer.through
                    partition_buffer.put(read_range)
                    self._unreadable += len(read_range.unreadable)
            self._recount()
            if worth_telling:
                self._wake()

    def wait_for_room(self, timeout_s: float) -> bool:
        """Wait at most `timeout_s` for room in the buffer; return whether there is room."""
        with self._changed:
            self._roomy.wait_for(lambda: self._has_room() or self._closing, timeout_s)
            return self._has_room() and not self._closing

    def held_back(self, already: Collection[Partition]) -> frozenset[Partition]:
        """Return the partitions that the consumer must pause.

        `already` are the partitions that it has paused.

        The loop often pauses a partition briefly. After a pause of the consumer, the
        next event arrives late. So the consumer pauses a partition only if the loop has
        paused it and too many entries are buffered for the loop's paused partitions.
        """
        with self._changed:
            paused = self._paused.intersection(self._partitions)
            if self._is_above(paused, 1.0):
                return paused
            return paused.intersection(already)

    def _wake(self) -> None:
        self.loop.call_soon_threadsafe(self._filled.set)

    def _is_processed(self) -> bool:
        return not self._changes and not self._handed

    def _change(self) -> Assigned | Revoked | None:
        if self._broken is not None:
            raise self._broken
        if self._changes:
            change = self._changes.popleft()
            self._handed = True
            if isinstance(change, Revoked):
                # The loop has not yet processed the revocation, so it can have paused a revoked
                # partition.
                self._paused -= change.partitions
            return change
        # The changes come before the error, so that the loop knows which partitions the failure
        # has cost.
        if self._failure is not None:
            error, self._failure = self._failure, None
            raise error
        return None

    def _recount(self) -> None:
        # Entries of paused partitions must not delay the other partitions.
        going = self._partitions.keys() - self._paused
        self._full = self._is_above(going, 0.5 if self._full else 1.0)
        if self._has_room():
            self._roomy.notify_all()

    def _has_room(self) -> bool:
        if self._full or self._unreadable >= _MAX_UNREADABLE:
            return False
        return not self._partitions or not self._partitions.keys() <= self._paused

    def _is_above(self, partitions: Collection[Partition], share: float) -> bool:
        buffers = [self._partitions[partition] for partition in partitions]
        return (
            sum(len(partition_buffer.entries) for partition_buffer in buffers) >= _FULL_ENTRIES * share
            or sum(partition_buffer.size for partition_buffer in buffers) >= _FULL_BYTES * share
        )

    def _page(self) -> Page | None:
        entries: list[Entry] = []
        through: dict[Partition, int] = {}
        for partition in [partition for partition in self._partitions if partition not in self._paused]:
            partition_buffer = self._partitions[partition]
            is_new = partition_buffer.through > partition_buffer.reported or partition in self._expired
            if is_new and len(entries) < PAGE_ENTRIES:
                entries += partition_buffer.take(PAGE_ENTRIES - len(entries))
                through[partition] = partition_buffer.reported
                # A served partition moves to the end of the queue.
                self._partitions[partition] = self._partitions.pop(partition)
        if not through:
            return None
        behind = sum(
            partition_buffer.end - partition_buffer.reported for partition_buffer in self._partitions.values()
        )
        expired = self._expired.intersection(through)
        self._expired -= expired
        return Page(entries=entries, through=through, behind=behind, expired=frozenset(expired))
