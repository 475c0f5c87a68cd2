"""Contracts for operators: switches, the audit, dead letters and continuity records, kept in the log."""

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from streamer.controls import (
    AuditRecord,
    ContinuityFilter,
    Control,
    ControlState,
    PositionOrder,
    Redrive,
    SnapshotOrder,
)
from streamer.events import ContinuityRecord, DeadLetter, JsonObject, LetterHead
from streamer.ports.dispatch import LogReader
from streamer.ports.history import EventHistory
from streamer.ports.states import RecordStates


class LetterCursor(Protocol):
    """Reader of the dead letters, which remembers how far it has read; only one task at a time may use it.

    The cost of a call grows with the letters that the call returns, and with the
    changes since the last call. Each method raises `LogUnavailable`.
    """

    def heads(self) -> AsyncGenerator[LetterHead, None]:
        """Yield the heads of the letters that were set aside since the last call.

        The first call yields the heads of all existing letters. A call yields each
        id at most once, with its latest letter. If a later call yields an id again,
        the letter was set aside again. Apart from the heads, memory does not grow
        with the number of letters. A caller that stops early can get some heads
        again in a later call.
        """
        ...

    async def kept(self, ids: Collection[str], /) -> Collection[str]:
        """Return the `ids` (from `heads`) whose letters still exist."""
        ...

    def letters(self, ids: Collection[str], /) -> AsyncGenerator[DeadLetter, None]:
        """Yield the letters with these `ids` (from `heads`) that still exist, in any order."""
        ...


class ContinuityCursor(Protocol):
    """Reader of the continuity records, which remembers how far it has read; for one task at a time.

    The cost of a call grows with the records that have changed since the last call.
    """

    async def changed(self) -> Sequence[ContinuityRecord]:
        """Return the last states of the records that have changed since the last call, oldest first.

        The first call returns all records. The answer has each record that was
        committed together with an event that the caller has read. A change that does not
        open or end a record can be left out. Raises `LogUnavailable`.
        """
        ...


class Controls(Protocol):
    """Switches, orders, dead letters, continuity records and the audit, kept in the log for every process.

    A call that writes returns when its change and its audit record are durable; no
    change takes effect before its audit record. If it is uncertain whether they are
    durable, the call raises `LogUnavailable`. The caller can repeat the call; then
    the log can have the audit record twice.
    """

    def switched(self) -> AsyncGenerator[ControlState, None]:
        """Yield the control state, now and after each change by any process.

        The iterator waits while the log can't be read.
        """
        ...

    async def switch(self, control: Control, audit: AuditRecord, /) -> None:
        """Replace the control of a subscriber. Raises `LogUnavailable`."""
        ...

    async def order(self, redrive: Redrive, audit: AuditRecord, /) -> None:
        """Open a redrive, or end and forget the redrive with this id. Raises `LogUnavailable`."""
        ...

    async def leave_out(self, redrive_id: str, letters: Collection[str], audit: AuditRecord, /) -> None:
        """Add the ids in `letters` to the letters that an open redrive skips.

        If the redrive ends before this change is written, it stays ended. Raises
        `LogUnavailable`.
        """
        ...

    async def order_snapshot(self, order: SnapshotOrder, audit: AuditRecord, /) -> None:
        """Open a snapshot, change its order, or end and forget the order with this id.

        The last order with an id counts, so a new order reopens an ended snapshot.
        Raises `LogUnavailable`.
        """
        ...

    async def order_position(self, order: PositionOrder, audit: AuditRecord, /) -> None:
        """Open an order to change a channel's position, or end and forget the order with this id.

        Raises `LogUnavailable`.
        """
        ...

    async def note(self, audit: AuditRecord, /) -> None:
        """Write an audit record. Raises `LogUnavailable`."""
        ...

    async def audit(self, *, last: int) -> Sequence[AuditRecord]:
        """Return the latest audit records, at most `last`, oldest first. Raises `LogUnavailable`."""
        ...

    def letter_cursor(self) -> LetterCursor:
        """Return a new cursor, which starts at the first letter."""
        ...

    async def continuity(self, chosen: ContinuityFilter, *, last: int) -> Sequence[ContinuityRecord]:
        """Return the latest states of the continuity records that match `chosen`, oldest first.

        It returns at most the `last` records. Unreadable records are logged and
        left out. Raises `LogUnavailable`.
        """
        ...

    def continuity_cursor(self) -> ContinuityCursor:
        """Return a new cursor, which starts at the first continuity record."""
        ...

    async def acknowledge(self, record: ContinuityRecord, audit: AuditRecord, /) -> None:
        """Replace the last state of a continuity record by `record`, which an operator has acknowledged.

        The former state must be final, because no repair then replaces the record.
        Raises `LogUnavailable`.
        """
        ...

    async def discard(self, letters: Sequence[str], audit: AuditRecord, /) -> None:
        """Remove dead letters by id, permanently. Raises `LogUnavailable`."""
        ...


class ProcessRecordKind(StrEnum):
    """Kind of a process's record: its state, or one sample for the charts of the last hour."""

    STATE = "state"
    SAMPLE = "sample"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRecord:
    """Record that a process writes about itself, `at` epoch seconds of its clock.

    `process` is the name for people. `instance` is unique for each start of a process.
    A `body` of `None` says that the process has ended.
    """

    process: str
    instance: str
    kind: ProcessRecordKind
    at: float
    body: JsonObject | None


class ProcessRecords(Protocol):
    """Records by which the processes of one log show their states to each other's consoles.

    The log keeps the records for about an hour. Losing them loses no event. Each method
    raises `LogUnavailable`, or `LogMisconfigured` if the log can't keep such records.
    """

    async def report(self, record: ProcessRecord, /) -> None:
        """Write a record; return within a few seconds."""
        ...

    async def newest(self, *, since: float) -> Sequence[ProcessRecord]:
        """Return the newest state of each process that has reported since `since` and has not ended.

        Foreign records are logged and left out. The number of records that are read is
        limited, so a state of a process that is silent can be missing.
        """
        ...

    async def samples(self, *, since: float) -> Sequence[ProcessRecord]:
        """Return the samples since `since`, the oldest first; their number is limited."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRoom:
    """Storage of the embedded log at `path`: the bytes in use, and their limit."""

    path: Path
    used: int
    bound: int


class ControlledLog(LogReader, Protocol):
    """The log for dispatch and for operators."""

    @property
    def controls(self) -> Controls:
        """Switches, redrives, dead letters and audit of this log."""
        ...

    @property
    def processes(self) -> ProcessRecords | None:
        """Records of the processes that share this log; `None` if only one process can use it."""
        ...

    @property
    def states(self) -> RecordStates:
        """States of the records, if a subscriber's settlements contain states."""
        ...

    @property
    def storage(self) -> LogRoom | None:
        """Storage of the log, if the log has its own limit; otherwise `None`."""
        ...

    @property
    def foreign_records(self) -> Mapping[str, int]:
        """Number of foreign records that this process has skipped, by topic or table."""
        ...

    @property
    def schema_failures(self) -> int:
        """Number of this process's requests that the schema registry did not answer, since the start."""
        ...

    @property
    def aborted_transactions(self) -> int:
        """Number of this process's transactions that were not committed."""
        ...

    @property
    def history(self) -> EventHistory:
        """Events of this log, for operators."""
        ...
