"""Controls of the in-memory log."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from dataclasses import replace
from functools import partial

from streamer.controls import (
    AuditRecord,
    ContinuityFilter,
    Control,
    ControlState,
    PositionOrder,
    Redrive,
    SnapshotOrder,
)
from streamer.events import ContinuityRecord, DeadLetter
from streamer.log.continuity import last_states
from streamer.log.memory.letters import MemoryLetterCursor


class MemoryControls:
    """Controls, orders, audit records, dead letters and continuity records of one log in memory."""

    def __init__(
        self,
        letters: dict[str, DeadLetter],
        continuity: Sequence[ContinuityRecord],
        check_up: Callable[[], None],
    ) -> None:
        """Begin without controls; the log keeps the others, and `check_up` raises while it is down."""
        self._letters = letters
        self._continuity = continuity
        self._check_up = check_up
        self._board = ControlState()
        self._version = 0
        self._changed = asyncio.Condition()
        self._audit: list[AuditRecord] = []

    async def switched(self) -> AsyncGenerator[ControlState, None]:
        """Yield the control state, and again after each change."""
        while True:
            seen = self._version
            yield self._board
            async with self._changed:
                await self._changed.wait_for(partial(self._has_changed_since, seen))

    async def switch(self, control: Control, audit: AuditRecord, /) -> None:
        """Replace the control of a subscriber."""
        await self.note(audit)
        controls = {**self._board.controls, control.subscriber: control}
        await self._change(replace(self._board, controls=controls))

    async def order(self, redrive: Redrive, audit: AuditRecord, /) -> None:
        """Open or end a redrive."""
        await self.note(audit)
        redrives = {**self._board.redrives, redrive.id: redrive}
        if redrive.ended_at is not None:
            del redrives[redrive.id]
        await self._change(replace(self._board, redrives=redrives))

    async def leave_out(self, redrive_id: str, letters: Collection[str], audit: AuditRecord, /) -> None:
        """Add to the letters that an open redrive skips."""
        await self.note(audit)
        if redrive := self._board.redrives.get(redrive_id):
            redrives = {**self._board.redrives, redrive_id: redrive.without(letters)}
            await self._change(replace(self._board, redrives=redrives))

    async def order_snapshot(self, order: SnapshotOrder, audit: AuditRecord, /) -> None:
        """Open, change or end a snapshot."""
        await self.note(audit)
        snapshots = {**self._board.snapshots, order.id: order}
        if order.ended_at is not None:
            del snapshots[order.id]
        await self._change(replace(self._board, snapshots=snapshots))

    async def order_position(self, order: PositionOrder, audit: AuditRecord, /) -> None:
        """Open or end an order of a position."""
        await self.note(audit)
        positions = {**self._board.positions, order.id: order}
        if order.ended_at is not None:
            del positions[order.id]
        await self._change(replace(self._board, positions=positions))

    async def note(self, audit: AuditRecord, /) -> None:
        """Add an audit record."""
        await asyncio.sleep(0)
        self._check_up()
        self._audit.append(audit)

    async def audit(self, *, last: int) -> Sequence[AuditRecord]:
        """Return the last audit records."""
        self._check_up()
        return self._audit[-last:] if last else []

    def letter_cursor(self) -> MemoryLetterCursor:
        """Return a new cursor."""
        return MemoryLetterCursor(self._letters, self._check_up)

    async def continuity(self, chosen: ContinuityFilter, *, last: int) -> Sequence[ContinuityRecord]:
        """Return the last recorded of the continuity records that `chosen` admits."""
        self._check_up()
        return last_states(self._continuity, chosen.admits)[-last:] if last else []

    async def discard(self, letters: Sequence[str], audit: AuditRecord, /) -> None:
        """Remove dead letters."""
        await self.note(audit)
        for letter in letters:
            self._letters.pop(letter, None)

    def _has_changed_since(self, version: int) -> bool:
        return self._version != version

    async def _change(self, board: ControlState) -> None:
        async with self._changed:
            self._board = board
            self._version += 1
            self._changed.notify_all()
