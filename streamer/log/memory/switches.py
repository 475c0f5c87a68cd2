"""What was switched, in memory."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from functools import partial

from streamer.controls import AuditRecord, Control, Redrive, Switchboard


class ControlTable:
    """The switchboard of one log, and who waits for it to change."""

    def __init__(self) -> None:
        self._board = Switchboard()
        self._version = 0
        self._changed = asyncio.Condition()
        self.audit: list[AuditRecord] = []

    async def boards(self) -> AsyncGenerator[Switchboard, None]:
        """Yield the board, and again after each change."""
        while True:
            seen = self._version
            yield self._board
            async with self._changed:
                await self._changed.wait_for(partial(self._has_changed_since, seen))

    async def switch(self, control: Control) -> None:
        """Replace the control of a subscriber."""
        controls = {**self._board.controls, control.subscriber: control}
        await self._change(replace(self._board, controls=controls))

    async def order(self, redrive: Redrive) -> None:
        """Open, replace or forget a redrive."""
        redrives = {**self._board.redrives, redrive.id: redrive}
        if redrive.ended_at is not None:
            del redrives[redrive.id]
        await self._change(replace(self._board, redrives=redrives))

    def _has_changed_since(self, version: int) -> bool:
        return self._version != version

    async def _change(self, board: Switchboard) -> None:
        async with self._changed:
            self._board = board
            self._version += 1
            self._changed.notify_all()
