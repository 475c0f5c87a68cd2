"""Controls in a log file."""

from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from contextlib import suppress
from functools import partial
from sqlite3 import Connection

from streamer.clock import Clock
from streamer.controls import (
    AuditRecord,
    ContinuityFilter,
    Control,
    ControlState,
    PositionOrder,
    Redrive,
    SnapshotOrder,
)
from streamer.errors import LogUnavailable
from streamer.events import ContinuityRecord
from streamer.log.foreign_records import ForeignRecords
from streamer.log.records import encode_audit
from streamer.log.sqlite.database.worker import Worker
from streamer.log.sqlite.letters import SqliteLetterCursor
from streamer.log.sqlite.rows.continuity import NEWEST, read_before
from streamer.log.sqlite.rows.controls import (
    SharedControls,
    control_row,
    forget_redrive,
    leave_out,
    order_position,
    order_snapshot,
    read_audit,
    read_board,
    redrive_row,
    write_audit,
    write_control,
    write_redrive,
)
from streamer.log.sqlite.rows.dead_letters import letter_key, remove_letters

_LETTERS_AT_ONCE = 1_000


class SqliteControls:
    """Controls, orders and audit records, written by the log's writer and read by its reader."""

    def __init__(
        self,
        writer: Worker,
        reader: Worker,
        clock: Clock,
        foreign: ForeignRecords,
        *,
        freed: Callable[[None], None],
    ) -> None:
        """Build the controls; call `look` next.

        `foreign` takes the rows that Streamer did not write, and `freed` is
        called on the loop after letters were removed.
        """
        self._writer = writer
        self._reader = reader
        self._clock = clock
        self._freed = freed
        self._switches = SharedControls()
        self.foreign = foreign

    async def look(self) -> None:
        """Read the control state; raises `LogUnavailable`, `LogMisconfigured`."""
        await self._writer.submit(partial(read_board, foreign=self.foreign), then=self._switches.show)

    def switched(self) -> AsyncGenerator[ControlState, None]:
        """Yield the control state, and again after each change."""
        return self._switches.boards()

    async def switch(self, control: Control, audit: AuditRecord) -> None:
        """Replace the control of a subscriber."""
        await self._change(partial(write_control, row=control_row(control)), audit)

    async def order(self, redrive: Redrive, audit: AuditRecord) -> None:
        """Open or forget a redrive."""
        if redrive.ended_at is None:
            await self._change(partial(write_redrive, row=redrive_row(redrive)), audit)
        else:
            await self._change(partial(forget_redrive, id_=redrive_row(redrive)[0]), audit)

    async def leave_out(self, redrive_id: str, letters: Collection[str], audit: AuditRecord) -> None:
        """Add to the letters that an open redrive skips."""
        await self._change(partial(leave_out, id_=redrive_id, letters=letters), audit)

    async def order_snapshot(self, order: SnapshotOrder, audit: AuditRecord) -> None:
        """Open, change or forget a snapshot."""
        await self._change(partial(order_snapshot, order=order), audit)

    async def order_position(self, order: PositionOrder, audit: AuditRecord) -> None:
        """Open or forget an order of a position."""
        await self._change(partial(order_position, order=order), audit)

    async def note(self, audit: AuditRecord) -> None:
        """Add an audit record."""
        await self._writer.submit(self._noting(audit))

    async def audit(self, *, last: int) -> Sequence[AuditRecord]:
        """Return the last audit records."""
        found: list[AuditRecord] = []
        before, lowest = None, NEWEST
        while len(found) < last and lowest != before:
            before = lowest
            more = partial(read_audit, count=last - len(found), before=before, foreign=self.foreign)
            page, lowest = await self._reader.submit(more)
            found = [*page, *found]
        return found

    def letter_cursor(self) -> SqliteLetterCursor:
        """Return a new cursor."""
        return SqliteLetterCursor(self._reader, self.foreign)

    async def continuity(self, chosen: ContinuityFilter, *, last: int) -> Sequence[ContinuityRecord]:
        """Return the last recorded of the continuity records that `chosen` admits."""
        found: list[ContinuityRecord] = []
        below = NEWEST
        while below and len(found) < last:
            page = await self._reader.submit(partial(read_before, before=below, foreign=self.foreign))
            found = [*filter(chosen.admits, page.records), *found]
            below = page.lowest
        return found[-last:] if last else []

    async def discard(self, letters: Sequence[str], audit: AuditRecord) -> None:
        """Remove dead letters, some at a time so that others can write in between.

        The audit record is written first. After `LogUnavailable` some letters
        can be gone; calling again removes the rest.
        """
        await self.note(audit)
        keys = [letter_key(id_) for id_ in letters]
        for begin in range(0, len(keys), _LETTERS_AT_ONCE):
            some = keys[begin : begin + _LETTERS_AT_ONCE]
            await self._writer.submit(partial(remove_letters, keys=some), weight=len(some), then=self._freed)

    def _noting(self, audit: AuditRecord) -> Callable[[Connection], None]:
        return partial(write_audit, body=encode_audit(audit), now=self._clock.now())

    async def _change(self, write: Callable[[Connection], None], audit: AuditRecord) -> None:
        note = self._noting(audit)

        def change(connection: Connection) -> ControlState:
            write(connection)
            note(connection)
            return read_board(connection, self.foreign)

        try:
            await self._writer.submit(change, then=self._switches.show)
        except LogUnavailable:
            # A commit that failed can have taken effect all the same.
            with suppress(LogUnavailable):
                await self.look()
            raise
