"""Contracts of ingest: the source of a channel, the records behind it, and the log that its events enter."""

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from streamer.events import (
    Batch,
    Channel,
    Checkpoint,
    ContinuityRecord,
    DeadLetter,
    Event,
    JsonObject,
    OrgId,
    Start,
    Unreadable,
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
        any. After a checkpoint of another transport, or one without a complete
        replay id, it yields what follows the checkpoint's last event, or else
        what was committed since `CLOCKS_DIFFER_S` before its `verified_at`; then the first
        batch says so by `unmarked_since`. It yields an empty batch when Salesforce
        has confirmed that nothing new came.

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


class PayloadReader(Protocol):
    """Decoder of Avro payloads that were set aside."""

    async def message(self, piece: Unreadable, channel: Channel, /) -> JsonObject | Unreadable:
        """Return the message of a payload; `piece` has its bytes, its position and its schema's id.

        Raises `RetryLater` while the schema can't be fetched, and a `Stop` when
        an operator must allow us to read it.
        """
        ...


class RecordReader(Protocol):
    """Reader of one org's records as they are now."""

    @property
    def requests_left(self) -> float | None:
        """Share of the org's daily requests that is left, from 0 to 1; `None` while it is unknown."""
        ...

    async def read(
        self, entity: str, ids: Sequence[str], fields: Sequence[str], /
    ) -> Mapping[str, JsonObject]:
        """Return `fields` of the records of `entity`, by id, at the price of one request.

        Records that are too large for one answer cost some more. There are at
        most 2,000 `ids`. Records that are deleted, or that the user can't see,
        are left out, and so can fields be. Raises `RetryLater`
        when there is no answer, a `Stop` when an operator must act, and
        `RecordsRefused`, with the name of the field where it is known, when
        Salesforce refuses the request.
        """
        ...


class Describer(Protocol):
    """Reader of the definitions of one org's entities."""

    async def describe(self, entity: str, /) -> JsonObject:
        """Return the describe of `entity`, at the price of one request.

        Its `name` is the entity's in Salesforce's spelling, and `fields` is a list
        of objects, one for each field that the user can see, with its `name`, its
        `type` and its `compoundFieldName`. Raises as `RecordReader.read` does.
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
        redriven: Collection[str] = (),
    ) -> None:
        """Write the events and the other records atomically, and return when they are durable and visible.

        `checkpoint` covers all of them. A continuity record replaces the former
        state of its id, and keeps the time at which that was recorded. `redriven`
        are the ids of dead letters that are removed; those of `set_aside` come
        after them, and unknown ids are ignored. Commits of one channel take
        effect in the order of the calls. Commits that wait at the same time are written
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

    async def open_holes(self, channel: Channel) -> Sequence[ContinuityRecord]:
        """Return the continuity records of `channel` whose last state is open, oldest first.

        They are certain once `checkpoint` has answered. Records that can't be
        read are logged and left out. Raises `LogUnavailable`; the caller tries
        again.
        """
        ...

    def begin(self, channel: Channel) -> Append:
        """Return a new, empty append to `channel`; no I/O happens yet."""
        ...


class RecordedHoles(Protocol):
    """Continuity records of a log, by their ids."""

    async def holes(self, ids: Collection[str], /) -> Mapping[str, ContinuityRecord]:
        """Return the last states of the continuity records `ids`, without those that were never recorded.

        Those of a channel are certain for its owner, once `EventLog.checkpoint`
        has answered. Records that can't be read are logged and left out. Raises
        `LogUnavailable`; the caller tries again.
        """
        ...


class KnownOrgs(Protocol):
    """Orgs that a log has read."""

    async def known_orgs(self) -> frozenset[OrgId]:
        """Return the orgs of whose channels the log has checkpoints. Raises `LogUnavailable`."""
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
class StoredCheckpoint:
    """Last checkpoint of a channel, stored at `stored_at` in epoch seconds, `None` where that is unknown.

    `owner` names the process that reads the channel, and is empty while none does.
    """

    checkpoint: Checkpoint
    stored_at: float | None = None
    owner: str = ""


class RecordedPositions(Protocol):
    """Positions of the channels in a log, for any process. Every method raises `LogUnavailable`."""

    async def stored_checkpoints(self) -> Sequence[StoredCheckpoint]:
        """Return the last committed checkpoint of each channel."""
        ...

    async def appended_since(self, patterns: Sequence[str], at: float, /) -> int:
        """Return the most events that can have been appended since `at`, of types that match `patterns`.

        There can be less: a log counts what is cheap to count. `at` is in epoch seconds.
        """
        ...
