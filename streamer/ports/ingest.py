"""Contracts of ingest: a channel's source, the org's records, and the log to which events are appended."""

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
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
        """Yield the batches of `channel` after `after`, in Salesforce's order, the oldest first.

        The request for the next batch confirms that the last batch was accepted. If the
        last batch ends an answer (`more` is false), the request also confirms that the
        answer is in the log, so that the source can ask Salesforce for more.

        If a source loses its session, it resumes by itself after the checkpoint of the
        last `settle`, or after `after` if `settle` was not called. Then the source can
        repeat messages of the checkpoint's open replay id, but it never skips a
        message.

        After a checkpoint of another transport, or without a complete replay id, the
        source yields the messages that follow the checkpoint's last event. If
        Salesforce no longer retains that event, or the checkpoint has no event, the
        source yields all messages that were committed at `verified_at` or later, or up
        to `CLOCKS_DIFFER_S` before. Then the first batch has `unmarked_since`. If
        Salesforce confirms that there is nothing new, the source yields an empty batch.

        Raises `SubscriptionRefused` or `CredentialsRefused` if an operator must act,
        and `ReplayIdRefused` if Salesforce no longer knows the position. The source
        retries after every other failure, with back-off and without end. Closing the
        iterator ends the subscription.
        """
        ...

    def settle(self, checkpoint: Checkpoint, /) -> None:
        """Note that `checkpoint` is in the log: after a lost session, its channel resumes there.

        Does nothing if the channel is not being read.
        """
        ...


class PayloadReader(Protocol):
    """Decoder of Avro payloads that were set aside."""

    async def message(self, piece: Unreadable, channel: Channel, /) -> JsonObject | Unreadable:
        """Return the message of a payload; `piece` has its bytes, its position and its schema id.

        Raises `RetryLater` if the schema can't be fetched now, and a `Stop` if the
        user needs permission to read it.
        """
        ...


class RecordReader(Protocol):
    """Reader of the current records of one org."""

    @property
    def requests_left(self) -> float | None:
        """Share of the org's daily requests that is left, from 0 to 1; `None` if unknown."""
        ...

    async def read(
        self, entity: str, ids: Sequence[str], fields: Sequence[str], /
    ) -> Mapping[str, JsonObject]:
        """Return `fields` of the records of `entity`, by id; this costs one request.

        Records that are too large for one answer cost a few more requests. There
        are at most 2,000 `ids`. Deleted records, and records that the user can't
        see, are left out. Fields can also be left out. Raises `RetryLater` if there
        is no answer, a `Stop` if an operator must act, and `RecordsRefused` if
        Salesforce refuses the request, with the name of the field if it is known.
        """
        ...


class Describer(Protocol):
    """Reader of the definitions of one org's entities."""

    async def describe(self, entity: str, /) -> JsonObject:
        """Return the describe of `entity`; this costs one request.

        Its `name` is the entity's name in Salesforce's spelling. `fields` is a list
        with an object for each field that the user can see, with its `name`, its
        `type` and its `compoundFieldName`. Raises the errors of `RecordReader.read`.
        """
        ...


class Append(Protocol):
    """Append to one channel, which grows until it is committed atomically.

    Events are encoded when they are added; only their encoded form is kept. An
    append without a commit leaves nothing in the log.
    """

    @property
    def size(self) -> int:
        """Size of the added events in bytes."""
        ...

    def add(self, events: Sequence[Event], /) -> None:
        """Encode `events`, and add them at the end of the append; nothing is written yet.

        Raises `EventsRefused` if the log can never accept some of the events; the
        other events are added.
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
        """Write the events and the other records atomically; return when they are durable and visible.

        `checkpoint` covers all of them. A continuity record replaces the earlier
        record with the same id, and keeps the earlier time of recording.
        `redriven` are ids of dead letters to remove, before the letters in
        `set_aside` are written; unknown ids are ignored. Commits of one channel
        take effect in the order of the calls. Commits that wait at the same time
        are written together. If the log is full, the call waits for space.

        Raises `EventsRefused` if the log can never accept some of the events: then
        no part of the append is visible, these events are removed from the append,
        and the caller can commit it again. Raises `LogUnavailable` if the result is
        uncertain, or if the log's checkpoint has changed since it was read: the
        caller must read the checkpoint again first. Raises `Fenced` if another
        process owns the channel.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended:
    """Committed append: the number of its events, its first event, and its other records."""

    checkpoint: Checkpoint
    events: int = 0
    first: Event | None = None
    set_aside: Sequence[DeadLetter] = ()
    continuity: Sequence[ContinuityRecord] = ()


class EventLog(Protocol):
    """Durable, ordered record of events, for ingest."""

    async def checkpoint(self, channel: Channel) -> Checkpoint | None:
        """Return the last committed checkpoint, or `None` if nothing was appended to the channel yet.

        The answer is certain: an append with an open result is first fenced off or
        awaited. Raises `LogUnavailable`; the caller tries again.
        """
        ...

    async def open_holes(self, channel: Channel) -> Sequence[ContinuityRecord]:
        """Return the continuity records of `channel` whose last state is open, oldest first.

        They are certain once `checkpoint` has answered. Unreadable records are
        logged and left out. Raises `LogUnavailable`; the caller tries again.
        """
        ...

    def begin(self, channel: Channel) -> Append:
        """Return a new, empty append to `channel`; no I/O happens yet."""
        ...


class RecordedHoles(Protocol):
    """Continuity records of a log, by id."""

    async def holes(self, ids: Collection[str], /) -> Mapping[str, ContinuityRecord]:
        """Return the last states of the continuity records with these `ids`; unknown ids are left out.

        For the owner of a channel, the channel's records are certain once
        `EventLog.checkpoint` has answered. Unreadable records are logged and left
        out. Raises `LogUnavailable`; the caller tries again.
        """
        ...


class DescribedLog(Protocol):
    """Log whose events can have schemas, which are made of the org's descriptions."""

    def described_by(self, describer: Describer, /) -> AbstractContextManager[None]:
        """Read descriptions of entities with `describer` inside the context.

        Outside of it, `Append.commit` raises `LogUnavailable` for an event whose schema
        is not known yet.
        """
        ...


class KnownOrgs(Protocol):
    """Orgs whose events are in a log."""

    async def known_orgs(self) -> frozenset[OrgId]:
        """Return the orgs with checkpoints in the log. Raises `LogUnavailable`."""
        ...


class Ownership(Protocol):
    """Distribution of the channels among the processes."""

    def owned(self, channels: Sequence[Channel]) -> AsyncGenerator[frozenset[Channel], None]:
        """Yield the channels that this process owns, now and after each change.

        The request for the next set confirms that the last set is in effect: this
        process has released the channels that are not in the last set. Closing the
        iterator releases all channels.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCheckpoint:
    """Last checkpoint of a channel; `stored_at` is in epoch seconds, or `None` if unknown.

    `owner` names the process that reads the channel; without such a process,
    `owner` is empty.
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
        """Return an upper limit for the events appended since `at` (epoch seconds) that match `patterns`.

        The real number can be smaller, because a log counts what is cheap to count.
        """
        ...
