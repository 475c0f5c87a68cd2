"""What the core needs from the outside, as contracts.

Each port has an in-memory twin in the package and at least one real adapter,
and one contract test suite runs on all of them.
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
    """Reads channels of one org."""

    def batches(self, channel: Channel, *, after: Checkpoint | Start) -> AsyncGenerator[Batch, None]:
        """Yield what `channel` holds after `after`, in Salesforce's order, and then what comes.

        Asking for the next batch says that the former one has been taken in.
        After a batch that ends an answer (`more` is false) it says that the
        answer is in the log, so that Salesforce can be asked for more. The
        source may lose its session and resume by itself, after the checkpoint
        that `settle` named last, or else after `after`. It may then repeat
        messages of the checkpoint's open replay id, and never skips any. Empty
        batches are yielded when Salesforce confirmed that nothing new came.

        Raises `SubscriptionRefused` or `CredentialsRefused` when someone must
        act, `ReplayIdRefused` when the position is no longer known to
        Salesforce. Whatever can be retried is retried inside, with back-off,
        for as long as it takes. Closing the iterator ends the subscription.
        """
        ...

    def settle(self, checkpoint: Checkpoint, /) -> None:
        """Resume the checkpoint's channel after `checkpoint`, which is in the log.

        Does nothing for a channel that is not being read.
        """
        ...


class Append(Protocol):
    """One append to one channel that grows until it is committed, all of it or none.

    Events are encoded when they are added, and not kept. An append that is
    dropped without a commit leaves nothing in the log.
    """

    @property
    def size(self) -> int:
        """The bytes of the events that have been added."""
        ...

    def add(self, events: Sequence[Event], /) -> None:
        """Encode `events`, behind those that have been added; nothing is written yet.

        Raises `EventsRefused` when the log can never take some of them; the
        others have been added then.
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
        """Make the events and what stands beside them durable and visible, atomically; return when it is.

        `checkpoint` covers all of it. Commits of one channel take effect in
        the order of the calls, and commits that wait are written together. The
        log is bounded: it waits rather than grow in memory.

        Raises `EventsRefused` when the log can never take some events: nothing
        of the append is visible, those events are no part of it any more, and
        it can be committed again. Raises `LogUnavailable` when it is uncertain
        whether the append took effect, or when the checkpoint is no longer the
        one that was read: the caller reads it again before anything else.
        Raises `Fenced` when another process owns the channel.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended:
    """One append that is in the log: how many events, the first of them, and what stands beside them."""

    checkpoint: Checkpoint
    events: int = 0
    first: Event | None = None
    set_aside: Sequence[DeadLetter] = ()
    continuity: Sequence[ContinuityRecord] = ()


class EventLog(Protocol):
    """The durable, ordered record of events, as ingest writes it."""

    async def checkpoint(self, channel: Channel) -> Checkpoint | None:
        """Return the last committed checkpoint, or `None` for a channel never appended.

        The answer is certain: an append whose result is still open is fenced
        off or awaited first. Raises `LogUnavailable`.
        """
        ...

    def begin(self, channel: Channel) -> Append:
        """Return a new, empty append to `channel`; no I/O happens yet."""
        ...


class Ownership(Protocol):
    """Decides which process reads which channel."""

    def owned(self, channels: Sequence[Channel]) -> AsyncGenerator[frozenset[Channel], None]:
        """Yield the channels that are this process's to read, each time that changes.

        Asking for the next set says that the former one is in effect: channels
        that are no longer in it have been let go of. Closing the iterator
        gives all of them up.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """What one subscriber wants of the log.

    `patterns` are event types, with `*` for any run of characters. `start`
    holds where the subscriber begins the first time it is seen; from then on
    its progress in the log decides. Who settles with receipts says so by
    `receipts`: then progress never turns back, which would write them twice.
    """

    subscriber: SubscriberName
    patterns: tuple[str, ...]
    start: Start | datetime = Start.LATEST
    receipts: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Assigned:
    """These partitions are this process's now, settled as far as `progress` says.

    `assignment` numbers the assignments of a feed: what is settled for a
    partition names the assignment that it was read under. `parked` are the
    lanes that are parked in them.
    """

    assignment: int
    progress: Mapping[Partition, Progress]
    parked: Mapping[Partition, Sequence[ParkedLane]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """These partitions are no longer this process's; no attempt at their events may begin.

    What was finished can still be settled until the next `read`, unless
    another process has them already.
    """

    partitions: frozenset[Partition]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some entries, each partition's in order, settled ones left out.

    `through` gives, for each partition that was read, the offset up to which
    it has been (exclusive): what lies before it and is not an entry does not
    concern this subscriber. `behind` is how many entries are known to follow.
    """

    entries: Sequence[Entry]
    through: Mapping[Partition, int]
    behind: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneChange:
    """What changes about one parked lane of one partition.

    The events `joined` are parked behind those that are there, in rising
    offsets; those whose offsets are in `left` are parked no longer. `setback`
    replaces what was kept of the head; without one the lane, which then holds
    nothing any more, is forgotten. The same change may be recorded twice.
    """

    partition: Partition
    lane: str
    setback: Setback | None
    joined: Sequence[Entry] = ()
    left: Sequence[int] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What a subscriber finished, to be recorded all at once.

    Everything belongs to partitions that `progress` names. `redriven` are the
    ids of dead letters that are none any more, because their events are parked
    by `lanes`; one that is also among `set_aside` has come back, and stays.
    """

    assignment: int
    progress: Mapping[Partition, Progress]
    set_aside: Sequence[DeadLetter] = ()
    lanes: Sequence[LaneChange] = ()
    receipts: Sequence[Receipt] = ()
    redriven: Sequence[str] = ()

    @property
    def is_plain(self) -> bool:
        """Whether it is progress and nothing else."""
        return not (self.set_aside or self.lanes or self.receipts or self.redriven)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What of a settlement is in the log.

    Of `partitions` all is; those that were revoked since are missing. Of
    `crowded` the log can hardly keep any more offsets above the prefix, so no
    more of them should be read until a later record says otherwise.
    """

    partitions: frozenset[Partition] = frozenset()
    crowded: frozenset[Partition] = frozenset()


class Feed(Protocol):
    """One subscriber's place in the log, shared with its other processes."""

    async def read(self) -> Assigned | Revoked | Page:
        """Wait for the next page or change of assignment.

        Asking for the next says that the former change is in effect. Raises
        `LogUnavailable`; reading may then be tried again.
        """
        ...

    def pause(self, partitions: frozenset[Partition]) -> None:
        """Read nothing of these partitions until they are resumed or revoked; the others go on."""
        ...

    def resume(self, partitions: frozenset[Partition]) -> None:
        """Undo `pause`."""
        ...

    async def settle(self, settlement: Settlement, /) -> Recorded:
        """Record progress, and all that it covers, atomically; return what is in the log.

        Progress that is there already is recorded again, which shows that its
        partition is still ours. Partitions that were revoked since are left
        out silently when there are only offsets for them. Raises `Fenced`, and
        `LogUnavailable` when it may have taken effect or not, and may be asked
        for once more. A receipt must not be written twice: where there are
        some, that is raised only when nothing is in the log.
        """
        ...

    async def recall(self, partition: Partition, offsets: Sequence[int]) -> Sequence[Entry]:
        """Return parked events of a partition that is ours, in the order of `offsets`; they stay parked.

        What is not parked, or not ours any more, is left out. Raises `LogUnavailable`.
        """
        ...


class LogReader(Protocol):
    """The log, as dispatch reads it."""

    def follow(self, subscription: Subscription) -> AbstractAsyncContextManager[Feed]:
        """Open the place of one subscriber; leaving the context hands its partitions over.

        Raises `LogUnavailable`, `LogMisconfigured`.
        """
        ...

    def settled_events(
        self, subscription: Subscription, begin: Mapping[Partition, int]
    ) -> AsyncGenerator[Entry, None]:
        """Yield what a subscriber is done with, from the offsets in `begin` on, and end.

        Each partition's entries come in order; what is parked, or not read
        yet, is left out. Whoever delivers for the subscriber does not notice.
        Memory is bounded. Raises `LogUnavailable`.
        """
        ...

    async def expect(self, subscribers: Collection[SubscriberName]) -> None:
        """Say which subscribers are configured; what others have not read is not kept for ever.

        Raises `LogUnavailable`.
        """
        ...


class Controls(Protocol):
    """What was switched, kept in the log, where every process sees it."""

    def switched(self) -> AsyncGenerator[Switchboard, None]:
        """Yield what is switched, and again after each change, whichever process made it.

        While the log can't be read it waits and goes on.
        """
        ...

    async def switch(self, control: Control, audit: AuditRecord, /) -> None:
        """Replace the control of a subscriber, and write down who did it. Raises `LogUnavailable`."""
        ...

    async def order(self, redrive: Redrive, audit: AuditRecord, /) -> None:
        """Open a redrive or replace it by its id; an ended one is forgotten. Raises `LogUnavailable`."""
        ...

    async def note(self, audit: AuditRecord, /) -> None:
        """Write down what was done. Raises `LogUnavailable`."""
        ...

    async def audit(self, *, last: int) -> Sequence[AuditRecord]:
        """Return what was written down last, oldest first, at most so many. Raises `LogUnavailable`."""
        ...

    def dead_letters(self) -> AsyncGenerator[DeadLetter, None]:
        """Yield each dead letter that there is now, once, the latest of its id, and end.

        Memory is bounded whatever their number, save for their ids. Raises `LogUnavailable`.
        """
        ...

    async def discard(self, letters: Sequence[str], audit: AuditRecord, /) -> None:
        """Remove dead letters by their ids, for good, and write down who did it. Raises `LogUnavailable`."""
        ...


class Subscriber(Protocol):
    """Delivers events to one target. Implemented by plugins."""

    async def __aenter__(self) -> Self:
        """Open connections; called once before the first delivery."""
        ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close what was opened."""
        ...

    async def deliver(self, delivery: Delivery, /) -> Outcome:
        """Try once and say what came of it.

        Called for many keys at once, never twice at once for one. An exception
        counts as `Retry`; a plugin does not retry by itself.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginContext:
    """What a plugin is handed beside its settings."""

    name: SubscriberName
    clock: Clock


class Plugin(Protocol):
    """The class behind an entry point of the group `streamer.subscribers`.

    `Settings` validates the `settings` of a subscriber that `uses` it.
    """

    # A property, so that a class whose settings are of a narrower type fits.
    @property
    def Settings(self) -> type[BaseModel]:  # noqa: N802 - a class within the plugin's class
        """What the settings are read into."""
        ...

    def __call__(self, settings: Any, context: PluginContext, /) -> Subscriber:
        """Make the subscriber; no I/O happens yet."""
        ...


Wants = Callable[[str], bool]
"""Whether an event type concerns a subscriber."""
