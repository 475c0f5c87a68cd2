"""Ports: the contracts between the core and its adapters.

Each port has an in-memory twin in the package and at least one real adapter.
One contract test suite runs on all of them.
"""

from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Any, Protocol, Self

from pydantic import BaseModel

from streamer.clock import Clock
from streamer.controls import AuditRecord, Control, Redrive, Switchboard
from streamer.events import (
    Batch,
    Channel,
    Checkpoint,
    ContinuityRecord,
    DeadLetter,
    Delivery,
    Entry,
    Event,
    Outcome,
    ParkedLane,
    Partition,
    Progress,
    Receipt,
    Setback,
    Start,
    SubscriberName,
)


class Source(Protocol):
    """Reader of one org's channels."""

    def batches(self, channel: Channel, *, after: Checkpoint | Start) -> AsyncGenerator[Batch, None]:
        """Yield the batches of `channel` after `after`, in Salesforce's order, past and future ones.

        A request for the next batch confirms that the former one was taken.
        After a batch that ends an answer (`more` is false) it confirms that
        the answer is in the log, so that the source can ask Salesforce for
        more. A source that loses its session resumes by itself, after the
        checkpoint of the last `settle`, or else after `after`. It can then
        repeat messages of the checkpoint's open replay id, but never skips
        any. It yields an empty batch when Salesforce has confirmed that
        nothing new came.

        Raises `SubscriptionRefused` or `CredentialsRefused` when an operator
        must act, and `ReplayIdRefused` when Salesforce no longer knows the
        position. The source retries everything else itself, with back-off and
        without end. Closing the iterator ends the subscription.
        """
        ...

    def settle(self, checkpoint: Checkpoint, /) -> None:
        """Resume the checkpoint's channel after `checkpoint`, which is in the log.

        Does nothing for a channel that is not being read.
        """
        ...


class Append(Protocol):
    """Append to one channel, which grows until it is committed, atomically.

    Events are encoded when they are added, and not kept. An append that is
    dropped without a commit leaves nothing in the log.
    """

    @property
    def size(self) -> int:
        """Size of the added events, in bytes."""
        ...

    def add(self, events: Sequence[Event], /) -> None:
        """Encode `events` behind the events added before; nothing is written yet.

        Raises `EventsRefused` when the log can never take some of them; the
        others are added.
        """
        ...

    async def commit(
        self,
        checkpoint: Checkpoint,
        /,
        *,
        set_aside: Sequence[DeadLetter] = (),
        continuity: Sequence[ContinuityRecord] = (),
    ) -> None:
        """Write the events and the other records atomically, and return when they are durable and visible.

        `checkpoint` covers all of them. Commits of one channel take effect in
        the order of the calls. Commits that wait at the same time are written
        together. The log is bounded: a call waits until there is room.

        Raises `EventsRefused` when the log can never take some of the events:
        nothing of the append is visible, it no longer holds those events, and
        the caller can commit it again. Raises `LogUnavailable` when the result
        is uncertain, or when the checkpoint is no longer the one that was
        read: the caller reads the checkpoint again before it does anything
        else. Raises `Fenced` when another process owns the channel.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended:
    """Committed append: the number of its events, the first of them, and the other records."""

    checkpoint: Checkpoint
    events: int = 0
    first: Event | None = None
    set_aside: Sequence[DeadLetter] = ()
    continuity: Sequence[ContinuityRecord] = ()


class EventLog(Protocol):
    """Durable, ordered record of events, as ingest writes it."""

    async def checkpoint(self, channel: Channel) -> Checkpoint | None:
        """Return the last committed checkpoint, or `None` for a channel that was never appended.

        The answer is certain: an append whose result is still open is fenced
        off or awaited first. Raises `LogUnavailable`; the caller tries again.
        """
        ...

    def begin(self, channel: Channel) -> Append:
        """Return a new, empty append to `channel`; no I/O happens yet."""
        ...


class Ownership(Protocol):
    """Distribution of the channels over the processes."""

    def owned(self, channels: Sequence[Channel]) -> AsyncGenerator[frozenset[Channel], None]:
        """Yield the channels that this process owns, and again after each change.

        A request for the next set confirms that the former one is in effect:
        this process has released the channels that are no longer in it.
        Closing the iterator releases all of them.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """One subscriber's selection of the log.

    `patterns` are event types, with `*` for any run of characters. `start` is
    the position of a subscriber that the log does not know yet; after that its
    recorded progress counts. With `receipts`, the subscriber settles with
    receipts, and the log never moves its progress back, which would write them
    twice.
    """

    subscriber: SubscriberName
    patterns: tuple[str, ...]
    start: Start | datetime = Start.LATEST
    receipts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Assigned:
    """Partitions that this process owns from now on, and their `progress`.

    `assignment` numbers the assignments of a feed: a settlement names the one
    under which its events were read. `parked` are the parked lanes of these
    partitions.
    """

    assignment: int
    progress: Mapping[Partition, Progress]
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
    that is also in `set_aside` failed again, and stays.
    """

    assignment: int
    progress: Mapping[Partition, Progress]
    set_aside: Sequence[DeadLetter] = ()
    lanes: Sequence[LaneChange] = ()
    receipts: Sequence[Receipt] = ()
    redriven: Sequence[str] = ()

    @property
    def is_plain(self) -> bool:
        """True when the settlement holds progress and nothing else."""
        return not (self.set_aside or self.lanes or self.receipts or self.redriven)


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
        settle again. A receipt must not be written twice: with receipts,
        `LogUnavailable` means that nothing is in the log.
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


class Controls(Protocol):
    """Switches, redrives, dead letters and the audit, kept in the log for every process.

    A call that writes returns when its change and its audit record are
    durable; no change takes effect before its record. It raises
    `LogUnavailable` when that is uncertain: the caller can repeat the call,
    which can write the record twice.
    """

    def switched(self) -> AsyncGenerator[Switchboard, None]:
        """Yield the switchboard, and again after each change that any process makes.

        While the log can't be read, the iterator waits.
        """
        ...

    async def switch(self, control: Control, audit: AuditRecord, /) -> None:
        """Replace the control of a subscriber. Raises `LogUnavailable`."""
        ...

    async def order(self, redrive: Redrive, audit: AuditRecord, /) -> None:
        """Open a redrive, or replace it by its id; an ended one is forgotten. Raises `LogUnavailable`."""
        ...

    async def note(self, audit: AuditRecord, /) -> None:
        """Write an audit record. Raises `LogUnavailable`."""
        ...

    async def audit(self, *, last: int) -> Sequence[AuditRecord]:
        """Return the latest audit records, at most `last`, oldest first. Raises `LogUnavailable`."""
        ...

    def dead_letters(self) -> AsyncGenerator[DeadLetter, None]:
        """Yield each present dead letter once, in the latest version of its id, and end.

        Memory is bounded whatever their number, save for their ids. Raises `LogUnavailable`.
        """
        ...

    async def discard(self, letters: Sequence[str], audit: AuditRecord, /) -> None:
        """Remove dead letters by their ids, for good. Raises `LogUnavailable`."""
        ...


class ControlledLog(LogReader, Protocol):
    """Log, as dispatch reads it and operators control it."""

    @property
    def controls(self) -> Controls:
        """Switches, redrives, dead letters and audit of this log."""
        ...


class Subscriber(Protocol):
    """Delivery to one target, implemented by a plugin."""

    async def __aenter__(self) -> Self:
        """Open connections; called once before the first delivery.

        Raises a `Stop`, such as `ConfigurationError`, when an operator must
        act. After any other error, or when the subscriber's
        `deliver_timeout_s` is over, the daemon opens it again.
        """
        ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close connections; called once after the last delivery."""
        ...

    async def deliver(self, delivery: Delivery, /) -> Outcome:
        """Try once, and return the outcome.

        Called for many keys at once, never twice at once for one key. An
        exception counts as `Retry`; dispatch retries, not the plugin. A call
        that exceeds the subscriber's `deliver_timeout_s` is cancelled.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginContext:
    """Context of a plugin, beside its settings."""

    name: SubscriberName
    clock: Clock


class Plugin(Protocol):
    """Class behind an entry point of the group `streamer.subscribers`.

    `Settings` validates the `settings` of a subscriber that `uses` it.
    """

    # A property, so that a class whose settings are of a narrower type fits.
    @property
    def Settings(self) -> type[BaseModel]:  # noqa: N802 - a class within the plugin's class
        """Model of the plugin's settings."""
        ...

    def __call__(self, settings: Any, context: PluginContext, /) -> Subscriber:
        """Return a subscriber; no I/O happens yet."""
        ...


Wants = Callable[[str], bool]
"""Predicate: true for an event type that concerns a subscriber."""
