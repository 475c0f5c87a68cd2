"""Controls and dead letters in the log's file."""

from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Sequence
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
from streamer.events import ContinuityRecord, DeadLetter, LetterHead
from streamer.log.foreign_records import ForeignRecords
from streamer.log.records import encode_audit
from streamer.log.sqlite.database.json_pages import PAGE_ROWS
from streamer.log.sqlite.database.worker import Worker
from streamer.log.sqlite.rows.controls import (
    NEWEST,
    ContinuityPlace,
    SharedControls,
    continuity_rows,
    control_row,
    forget_redrive,
    leave_out,
    order_position,
    order_snapshot,
    read_audit,
    read_before,
    read_board,
    read_changed,
    redrive_row,
    write_audit,
    write_continuity,
    write_control,
    write_redrive,
)
from streamer.log.sqlite.rows.parked import (
    kept_letters,
    last_letter,
    letter_key,
    read_heads,
    read_letters,
    remove_letters,
)


class SqliteLetterCursor:
    """Reads dead letters in pages, in the order of their numbers."""

    def __init__(self, reader: Worker, foreign: ForeignRecords) -> None:
        """Read with `reader`; report rows that are not dead letters to `foreign`."""
        self._reader = reader
        self._foreign = foreign
        self._after = 0

    async def heads(self) -> AsyncGenerator[LetterHead, None]:
        """Yield the heads of the dead letters that were added since the last call and still exist."""
        last = await self._reader.submit(last_letter)
        while self._after < last:
            read = partial(read_heads, after=self._after, last=last, foreign=self._foreign)
            page, after = await self._reader.submit(read)
            for head in page:
                yield head
            # The position advances only now, so that a caller that stops early reads the page
            # again.
            self._after = after

    async def kept(self, ids: Collection[str]) -> frozenset[str]:
        """Return the ids of the given dead letters that exist."""
        named = {letter_key(id_): id_ for id_ in ids}
        kept: list[str] = []
        for keys in _pages(list(named)):
            kept += await self._reader.submit(partial(kept_letters, keys=keys))
        return frozenset(named[key] for key in kept)

    async def letters(self, ids: Collection[str]) -> AsyncGenerator[DeadLetter, None]:
        """Yield the given dead letters that exist."""
        for keys in _pages([letter_key(id_) for id_ in ids]):
            after: int | None = 0
            while after is not None:
                read = partial(read_letters, keys=keys, after=after, foreign=self._foreign)
                page, after = await self._reader.submit(read)
                for letter in page:
                    yield letter


class SqliteContinuityCursor:
    """Reads the continuity records that were added, opened or ended since the last call."""

    def __init__(self, reader: Worker, foreign: ForeignRecords) -> None:
        """Read with `reader`; report rows that are not continuity records to `foreign`."""
        self._reader = reader
        self._foreign = foreign
        self._place = ContinuityPlace()

    async def changed(self) -> Sequence[ContinuityRecord]:
        """Return the last states of these records."""
        read = partial(read_changed, since=self._place, foreign=self._foreign)
        found, self._place = await self._reader.submit(read)
        return found


def _pages(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    return (keys[begin : begin + PAGE_ROWS] for begin in range(0, len(keys), PAGE_ROWS))


_LETTERS_AT_ONCE = 1_000


class SqliteControls:
    """Controls, orders and audit records, which the log's writer writes and the log's reader reads."""

    def __init__(
        self,
        writer: Worker,
        reader: Worker,
        clock: Clock,
        foreign: ForeignRecords,
        *,
        freed: Callable[[None], None],
    ) -> None:
        """Create the controls; call `look` next.

        Rows that Streamer did not write are reported to `foreign`. `freed` is
        called on the loop after dead letters were removed.
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
        """Open a redrive, or remove an ended redrive."""
        if redrive.ended_at is None:
            await self._change(partial(write_redrive, row=redrive_row(redrive)), audit)
        else:
            await self._change(partial(forget_redrive, id_=redrive_row(redrive)[0]), audit)

    async def leave_out(self, redrive_id: str, letters: Collection[str], audit: AuditRecord) -> None:
        """Add these dead letters to the dead letters that an open redrive skips."""
        await self._change(partial(leave_out, id_=redrive_id, letters=letters), audit)

    async def order_snapshot(self, order: SnapshotOrder, audit: AuditRecord) -> None:
        """Open or change a snapshot order, or remove an ended snapshot order."""
        await self._change(partial(order_snapshot, order=order), audit)

    async def order_position(self, order: PositionOrder, audit: AuditRecord) -> None:
        """Open a position order, or remove an ended position order."""
        await self._change(partial(order_position, order=order), audit)

    async def acknowledge(self, record: ContinuityRecord, audit: AuditRecord) -> None:
        """Replace the last state of a continuity record."""
        await self._change(partial(write_continuity, rows=continuity_rows([record])), audit)

    async def note(self, audit: AuditRecord) -> None:
        """Add an audit record."""
        await self._writer.submit(self._noting(audit))

    async def audit(self, *, last: int) -> Sequence[AuditRecord]:
        """Return the `last` newest audit records."""
        found: list[AuditRecord] = []
        before, lowest = None, NEWEST
        while len(found) < last and lowest != before:
            before = lowest
            more = partial(read_audit, count=last - len(found), before=before, foreign=self.foreign)
            page, lowest = await self._reader.submit(more)
            found = [*page, *found]
        return found

    def letter_cursor(self) -> SqliteLetterCursor:
        """Return a new cursor over the dead letters."""
        return SqliteLetterCursor(self._reader, self.foreign)

    async def continuity(self, chosen: ContinuityFilter, *, last: int) -> Sequence[ContinuityRecord]:
        """Return the `last` newest continuity records that `chosen` admits."""
        found: list[ContinuityRecord] = []
        below = NEWEST
        while below and len(found) < last:
            page = await self._reader.submit(partial(read_before, before=below, foreign=self.foreign))
            found = [*filter(chosen.admits, page.records), *found]
            below = page.lowest
        return found[-last:] if last else []

    def continuity_cursor(self) -> SqliteContinuityCursor:
        """Return a new cursor over the continuity records."""
        return SqliteContinuityCursor(self._reader, self.foreign)

    async def discard(self, letters: Sequence[str], audit: AuditRecord) -> None:
        """Remove dead letters in groups, so that other writes can run in between.

        The audit record is written first. After `LogUnavailable`, some dead letters can
        be removed already; another call removes the rest.
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
            # Even a failed commit can have taken effect.
            with suppress(LogUnavailable):
                await self.look()
            raise
