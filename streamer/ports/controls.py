"""Contracts of operation: switches, the audit, dead letters and continuity records, kept in the log."""

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass
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
from streamer.events import ContinuityRecord, DeadLetter, LetterHead
from streamer.ports.dispatch import LogReader
from streamer.ports.history import EventHistory


class LetterCursor(Protocol):
    """Reader of the dead letters that remembers how far it has read; for one task at a time.

    It costs as much as the letters that it returns, and the changes since its last
    call. Each method raises `LogUnavailable`.
    """

    def heads(self) -> AsyncGenerator[LetterHead, None]:
        """Yield the heads of the letters that were set aside since the last call.

        The first call yields the heads of all present letters. A call yields each
        id at most once, with its latest letter. An id that a later call yields
        again was set aside again. Apart from the heads, memory does not grow with the number
        of letters. A caller that stops early can get some heads again.
        """
        ...

    async def kept(self, ids: Collection[str], /) -> Collection[str]:
        """Return those of `ids`, which `heads` has yielded, whose letters still exist."""
        ...

    def letters(self, ids: Collection[str], /) -> AsyncGenerator[DeadLetter, None]:
        """Yield the letters with these ids that still exist, in any order; the ids come from `heads`."""
        ...


class Controls(Protocol):
    """Switches, orders, dead letters, continuity records and the audit, kept in the log for every process.

    A call that writes returns when its change and its audit record are
    durable; no change takes effect before its record. It raises
    `LogUnavailable` when that is uncertain: the caller can repeat the call,
    which can write the record twice.
    """

    def switched(self) -> AsyncGenerator[ControlState, None]:
        """Yield the control state, and again after each change that any process makes.

        While the log can't be read, the iterator waits.
        """
        ...

    async def switch(self, control: Control, audit: AuditRecord, /) -> None:
        """Replace the control of a subscriber. Raises `LogUnavailable`."""
        ...

    async def order(self, redrive: Redrive, audit: AuditRecord, /) -> None:
        """Open a redrive, or end the one with this id and forget it. Raises `LogUnavailable`."""
        ...

    async def leave_out(self, redrive_id: str, letters: Collection[str], audit: AuditRecord, /) -> None:
        """Add the ids of `letters` to those that an open redrive skips.

        A redrive that has ended stays ended, even if its end is written first.
        Raises `LogUnavailable`.
        """
        ...

    async def order_snapshot(self, order: SnapshotOrder, audit: AuditRecord, /) -> None:
        """Open a snapshot, change its order, or end the one with this id and forget it.

        The last order of an id counts, so a new one reopens an ended snapshot.
        Raises `LogUnavailable`.
        """
        ...

    async def order_position(self, order: PositionOrder, audit: AuditRecord, /) -> None:
        """Open an order to change a channel's position, or end the one with this id and forget it.

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
        """Return a cursor that has read nothing yet."""
        ...

    async def continuity(self, chosen: ContinuityFilter, *, last: int) -> Sequence[ContinuityRecord]:
        """Return the latest states of the continuity records that `chosen` admits, oldest first.

        It returns at most the `last` recorded ones. Records that can't be read are
        logged and left out. Raises `LogUnavailable`.
        """
        ...

    async def discard(self, letters: Sequence[str], audit: AuditRecord, /) -> None:
        """Remove dead letters by their ids, for good. Raises `LogUnavailable`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRoom:
    """Room of the embedded log at `path`: the bytes in use, and their bound."""

    path: Path
    used: int
    bound: int


class ControlledLog(LogReader, Protocol):
    """Log, as dispatch reads it and operators control it."""

    @property
    def controls(self) -> Controls:
        """Switches, redrives, dead letters and audit of this log."""
        ...

    @property
    def storage(self) -> LogRoom | None:
        """Room of a log that has a bound of its own."""
        ...

    @property
    def foreign_records(self) -> Mapping[str, int]:
        """Number of the foreign records that this process has left out, by topic or table."""
        ...

    @property
    def aborted_transactions(self) -> int:
        """Number of transactions of this process that did not end with a commit."""
        ...

    @property
    def history(self) -> EventHistory:
        """Events of this log, for operators."""
        ...
