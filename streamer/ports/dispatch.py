"""Contracts of dispatch: one subscriber's place in the log, and what it settles there."""

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
    Setback,
    SettledOffsets,
    Start,
    SubscriberName,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """One subscriber's selection of the log.

    `patterns` are event types, with `*` for any run of characters. `start` is
    the position of a subscriber that the log does not know yet; after that its
    recorded progress counts. With `receipts`, the subscriber settles with
    receipts, and the log never moves its progress back, which would write them
    twice.

    A subscriber that comes `after` others reads the events that these forward
    to it, and no others; it begins with the first. `downstream` are the
    subscribers to which it forwards: what it forwards from now on is kept for
    them, whether they have begun or not.
    """

    subscriber: SubscriberName
    patterns: tuple[str, ...]
    start: Start | datetime = Start.LATEST
    receipts: bool = False
    after: tuple[SubscriberName, ...] = ()
    downstream: tuple[SubscriberName, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Assigned:
    """Partitions that this process owns from now on, and their `progress`.

    `assignment` numbers the assignments of a feed: a settlement names the one
    under which its events were read. `parked` are the parked lanes of these
    partitions.
    """

    assignment: int
    progress: Mapping[Partition, SettledOffsets]
    parked: Mapping[Partition, Sequence[ParkedLane]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """Partitions that this process no longer owns; no attempt at their events may begin.

    Finished events can still be settled until the next `read`, unless another
    process owns the partitions already.
    """

    partitions: frozenset[Partition]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Entries of some partitions, in order for each partition, without settled ones.

    `through` is the offset up to which each partition was read (exclusive): an
    offset below it without an entry does not concern this subscriber. `behind`
    is the number of entries that are known to follow.
    """

    entries: Sequence[Entry]
    through: Mapping[Partition, int]
    behind: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneChange:
    """Change of one parked lane of one partition.

    The events `joined` are parked behind the present ones, in rising offsets;
    the events whose offsets are in `left` are no longer parked. `setback`
    replaces that of the lane; `None` forgets the lane, which then holds no
    events. Recording the same change twice is harmless.
    """

    partition: Partition
    lane: str
    setback: Setback | None
    joined: Sequence[Entry] = ()
    left: Sequence[int] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """Finished work of a subscriber, recorded atomically.

    All of it belongs to partitions that `progress` names. `redriven` are the
    ids of dead letters to remove, because `lanes` parks their events; a letter
    that is also in `set_aside` failed again, and stays. Events of one key are
    `forwarded` in the order in which they were settled.
    """

    assignment: int
    progress: Mapping[Partition, SettledOffsets]
    set_aside: Sequence[DeadLetter] = ()
    lanes: Sequence[LaneChange] = ()
    receipts: Sequence[Receipt] = ()
    redriven: Sequence[str] = ()
    forwarded: Sequence[Forwarded] = ()

    @property
    def is_plain(self) -> bool:
        """True when the settlement holds progress and nothing else."""
        return not (self.set_aside or self.lanes or self.receipts or self.redriven or self.forwarded)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """Part of a settlement that is in the log.

    Everything of `partitions` is; those that were revoked since are missing.
    For `crowded` ones the log can hardly keep more offsets above the prefix:
    the caller reads no more of them until a later record leaves them out.
    """

    partitions: frozenset[Partition] = frozenset()
    crowded: frozenset[Partition] = frozenset()


class Feed(Protocol):
    """One process's share of one subscriber's reading and settling."""

    async def read(self) -> Assigned | Revoked | Page:
        """Wait for the next page or change of assignment, and return it.

        A request for the next one confirms that the former change is in
        effect. Raises `LogUnavailable`; the caller can read again.
        """
        ...

    def pause(self, partitions: frozenset[Partition]) -> None:
        """Stop reading these partitions until they are resumed or revoked; the others go on."""
        ...

    def resume(self, partitions: frozenset[Partition]) -> None:
        """Undo `pause`."""
        ...

    async def settle(self, settlement: Settlement, /) -> Recorded:
        """Record a settlement atomically, and return the part of it that is in the log.

        Progress that is already in the log is recorded again, which proves
        that this process still owns the partition. Partitions that were
        revoked since are left out silently when the settlement holds only
        progress for them. Raises `Fenced` when another process owns them.
        Raises `LogUnavailable` when the result is uncertain; the caller can
        settle again. A receipt and a forwarded event must not be written
        twice: with receipts, `LogUnavailable` means that nothing is in the log.
        """
        ...

    async def recall(self, partition: Partition, offsets: Sequence[int]) -> Sequence[Entry]:
        """Return parked events of an owned partition, in the order of `offsets`; they stay parked.

        Events that are not parked, or whose partition was revoked, are left
        out. Raises `LogUnavailable`; the caller can recall again.
        """
        ...


class LogReader(Protocol):
    """Log, as dispatch reads it."""

    def follow(self, subscription: Subscription) -> AbstractAsyncContextManager[Feed]:
        """Return a context that gives one subscriber's feed; leaving it releases the partitions.

        Entering raises `LogUnavailable` when the caller can try again, and
        `LogMisconfigured` when an operator must act.
        """
        ...

    def settled_events(
        self, subscription: Subscription, begin: Mapping[Partition, int]
    ) -> AsyncGenerator[Entry, None]:
        """Yield the entries that a subscriber has settled, from the offsets in `begin` on, and end.

        The entries of a partition come in order, without parked and unread
        ones. Deliveries of the subscriber go on undisturbed. Memory is
        bounded. Raises `LogUnavailable`.
        """
        ...

    async def expect(self, subscribers: Collection[SubscriberName]) -> None:
        """Name the configured subscribers; the log need not keep events that only others have not read.

        Raises `LogUnavailable`.
        """
        ...


Wants = Callable[[str], bool]
"""Predicate: true for an event type that concerns a subscriber."""
