"""Contracts of dispatch: a subscriber's position in the log, and the work that it settles there."""

from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from streamer.events import (
    DeadLetter,
    Entry,
    Forwarded,
    ParkedLane,
    Partition,
    Receipt,
    RecordState,
    Setback,
    SettledOffsets,
    Start,
    SubscriberName,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """One subscriber's selection from the log.

    `patterns` are event types, with `*` for any run of characters. `start` is the
    position of a subscriber that is new to the log; later, its recorded progress
    counts. With `receipts`, the subscriber's settlements contain receipts. Then the
    log never moves the subscriber's progress back, because a second settlement
    would write the same receipts again.

    With `after`, the subscriber reads only events that the subscribers in `after`
    forward to it, beginning with the first forwarded event. `downstream` are the
    subscribers to which this subscriber forwards events. From now on, the log keeps
    forwarded events for the `downstream` subscribers, even if they have not begun
    to read.

    With `states`, the settlements contain states of records of these entities, and
    this process can read the states of a partition's records as soon as the partition
    is assigned. Such a subscriber parks no events, and the log never moves its progress
    back.
    """

    subscriber: SubscriberName
    patterns: tuple[str, ...]
    start: Start | datetime = Start.LATEST
    receipts: bool = False
    after: tuple[SubscriberName, ...] = ()
    downstream: tuple[SubscriberName, ...] = ()
    states: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Assigned:
    """Partitions that this process owns from now on, and their `progress`.

    `assignment` numbers the assignments of a feed. A settlement names the
    assignment under which the settled events were read. `parked` are the parked
    lanes of these partitions.
    """

    assignment: int
    progress: Mapping[Partition, SettledOffsets]
    parked: Mapping[Partition, Sequence[ParkedLane]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """Partitions that this process no longer owns; no attempt at their events may begin.

    Until the next `read`, finished events can still be settled, unless another
    process already owns the partitions.
    """

    partitions: frozenset[Partition]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Entries of some partitions, in order for each partition, without settled entries.

    `through` is the offset up to which each partition was read (exclusive): an
    offset below `through` without an entry does not concern this subscriber.
    `behind` is the known number of entries that follow. In the partitions `expired`,
    the log has deleted events that follow the last page, because they were too old.
    """

    entries: Sequence[Entry]
    through: Mapping[Partition, int]
    behind: int = 0
    expired: frozenset[Partition] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneChange:
    """Change of one parked lane in one partition.

    The events in `joined` are parked after the present events, in ascending
    offsets. The events with offsets in `left` are no longer parked. `setback`
    replaces the lane's setback; `None` removes the lane, which then has no events.
    Recording the same change twice is harmless.
    """

    partition: Partition
    lane: str
    setback: Setback | None
    joined: Sequence[Entry] = ()
    left: Sequence[int] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """Finished work of a subscriber, recorded atomically.

    All work belongs to partitions in `progress`. `redriven` are the ids of dead
    letters to remove, because `lanes` parks the events of these letters. A letter
    that is also in `set_aside` has failed again, and stays. `forwarded` events with
    the same key are in the order in which they were settled. Each of `states` replaces
    the former state of its record, and states of the same record are in their order.
    """

    assignment: int
    progress: Mapping[Partition, SettledOffsets]
    set_aside: Sequence[DeadLetter] = ()
    lanes: Sequence[LaneChange] = ()
    receipts: Sequence[Receipt] = ()
    redriven: Sequence[str] = ()
    forwarded: Sequence[Forwarded] = ()
    states: Sequence[RecordState] = ()

    @property
    def is_plain(self) -> bool:
        """True if the settlement contains only progress."""
        beside = self.set_aside or self.lanes or self.receipts or self.redriven or self.forwarded
        return not (beside or self.states)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """Part of a settlement that is in the log.

    The log has all work of the `partitions`, which do not include partitions that were
    revoked meanwhile. In `crowded` partitions, so many events are settled out of order
    that the log can store hardly any more. The caller stops reading the crowded
    partitions, until a later `Recorded` no longer lists them.
    """

    partitions: frozenset[Partition] = frozenset()
    crowded: frozenset[Partition] = frozenset()


class Feed(Protocol):
    """Reading and settling of one subscriber's events, for one process."""

    async def read(self) -> Assigned | Revoked | Page:
        """Wait for the next page or change of assignment, and return it.

        The next call confirms that the last change is in effect. Raises
        `LogUnavailable`; the caller can read again.
        """
        ...

    def pause(self, partitions: frozenset[Partition]) -> None:
        """Stop reading these partitions until they are resumed or revoked; other partitions continue."""
        ...

    def resume(self, partitions: frozenset[Partition]) -> None:
        """Undo `pause`."""
        ...

    async def settle(self, settlement: Settlement, /) -> Recorded:
        """Record a settlement atomically, and return the part of it that is in the log.

        Progress that is already in the log is recorded again, which proves that
        this process still owns the partition. If the settlement has only progress
        for a partition that was revoked meanwhile, the partition is left out
        silently. Raises `Fenced` if another process owns the partitions. Raises
        `LogUnavailable` if the result is uncertain; the caller can settle again. A
        receipt or forwarded event must not be written twice, so with receipts,
        `LogUnavailable` means that nothing is in the log.
        """
        ...

    async def recall(self, partition: Partition, offsets: Sequence[int]) -> Sequence[Entry]:
        """Return parked events of an owned partition, in the order of `offsets`; the events stay parked.

        Events that are not parked, or whose partition was revoked, are left out.
        Raises `LogUnavailable`; the caller can recall again.
        """
        ...


class LogReader(Protocol):
    """The log for dispatch."""

    def follow(self, subscription: Subscription) -> AbstractAsyncContextManager[Feed]:
        """Return a context that provides one subscriber's feed; leaving it releases the partitions.

        On entry, raises `LogUnavailable` if the caller can try again, and
        `LogMisconfigured` if an operator must act.
        """
        ...

    def settled_events(
        self, subscription: Subscription, begin: Mapping[Partition, int]
    ) -> AsyncGenerator[Entry, None]:
        """Yield the entries that a subscriber has settled, from the offsets in `begin` to the present.

        The entries of a partition come in order; parked and unread entries are left
        out. The subscriber's deliveries continue meanwhile. Memory is bounded.
        Raises `LogUnavailable`.
        """
        ...

    async def expect(self, subscribers: Collection[SubscriberName]) -> None:
        """Name the configured subscribers; the log need not keep events for any other subscribers.

        Raises `LogUnavailable`.
        """
        ...


Wants = Callable[[str], bool]
"""Predicate: true for an event type that concerns a subscriber."""
