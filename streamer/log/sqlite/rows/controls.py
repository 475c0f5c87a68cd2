"""What is switched: the rows, and who waits for them to change."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator

from streamer.controls import Control, Redrive, Switchboard
from streamer.log.records import decode_control, decode_redrive, encode_control, encode_redrive

_Row = tuple[str, bytes]


class ControlTable:
    """The switchboard as the file has it, in memory: no other process can change it."""

    def __init__(self) -> None:
        self._board = Switchboard()
        self._changed = asyncio.Event()

    def show(self, board: Switchboard) -> None:
        """Replace the board, which wakes those that wait for another one."""
        if board != self._board:
            self._board = board
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()

    async def boards(self) -> AsyncGenerator[Switchboard, None]:
        """Yield the board, and again after each change."""
        while True:
            changed = self._changed
            yield self._board
            await changed.wait()


def control_row(control: Control) -> _Row:
    """Return a control as a row."""
    return control.subscriber, encode_control(control)


def redrive_row(redrive: Redrive) -> _Row:
    """Return a redrive as a row."""
    return redrive.id, encode_redrive(redrive)


def write_control(connection: sqlite3.Connection, row: _Row) -> None:
    """Replace the control of a subscriber."""
    connection.execute("INSERT OR REPLACE INTO controls VALUES (?, ?)", row)


def write_redrive(connection: sqlite3.Connection, row: _Row) -> None:
    """Open a redrive, or replace it."""
    connection.execute("INSERT OR REPLACE INTO redrives VALUES (?, ?)", row)


def forget_redrive(connection: sqlite3.Connection, id_: str) -> None:
    """Remove a redrive."""
    connection.execute("DELETE FROM redrives WHERE id = ?", (id_,))


def read_board(connection: sqlite3.Connection) -> Switchboard:
    """Return what is switched; raises `LogMisconfigured` for what can't be read."""
    controls = [decode_control(row[0]) for row in connection.execute("SELECT body FROM controls")]
    redrives = [decode_redrive(row[0]) for row in connection.execute("SELECT body FROM redrives")]
    return Switchboard(
        controls={control.subscriber: control for control in controls},
        redrives={redrive.id: redrive for redrive in redrives},
    )
