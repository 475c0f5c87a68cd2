"""Kinds of log that the contract suite runs on.

To add a kind, add a class with these six methods and a line in `WORLDS`. Each
test gets a world of its own, without any events.
"""

import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

import pytest

from streamer.clock import SystemClock
from streamer.events import ContinuityRecord, DeadLetter, Event, Receipt
from streamer.log.memory import MemoryFaults, MemoryHistory, MemoryLog
from streamer.log.records import decode_continuity, decode_dead_letter, decode_receipt
from streamer.log.sqlite import SqliteHistory, SqliteLog
from streamer.ports import (
    ControlledLog,
    EventHistory,
    EventLog,
    KnownOrgs,
    Ownership,
    RecordedHoles,
    RecordedPositions,
)
from streamer.settings import SqliteLogSettings
from tests.contracts.values import an_event


class Log(EventLog, RecordedHoles, RecordedPositions, KnownOrgs, ControlledLog, Ownership, Protocol):
    """Everything that a log is."""


class World(Protocol):
    """One kind of log, whose content outlives its being open."""

    def open(self) -> AbstractAsyncContextManager[Log]:
        """Open the log; opening it again after leaving is a restart."""
        ...

    def history(self) -> AbstractAsyncContextManager[EventHistory]:
        """Return the log as a process reads it that does not own it; there must be a log."""
        ...

    def refused_event(self) -> Event:
        """Return an event that this log can never take."""
        ...

    async def dead_letters(self) -> Sequence[DeadLetter]:
        """Return the dead letters, the latest of each id; works while the log is open."""
        ...

    async def continuity(self) -> Sequence[ContinuityRecord]:
        """Return the continuity records, in their order; works while the log is open."""
        ...

    async def receipts(self) -> Sequence[Receipt]:
        """Return the receipts, those of a key in their order; works while the log is open."""
        ...


class MemoryWorld:
    """The in-memory twin."""

    def __init__(self) -> None:
        """Refuse the event that `refused_event` returns."""
        self._log = MemoryLog(faults=MemoryFaults(refuse=lambda event: event == self.refused_event()))

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Log]:
        """Return the same log each time."""
        yield self._log

    @asynccontextmanager
    async def history(self) -> AsyncIterator[EventHistory]:
        """Return the twin's own."""
        yield MemoryHistory(self._log)

    def refused_event(self) -> Event:
        """Return the event that the log is set to refuse."""
        return an_event("refused")

    async def dead_letters(self) -> Sequence[DeadLetter]:
        """Look into the log."""
        return self._log.letters

    async def continuity(self) -> Sequence[ContinuityRecord]:
        """Look into the log."""
        return self._log.continuity

    async def receipts(self) -> Sequence[Receipt]:
        """Look into the log."""
        return self._log.receipts


class SqliteWorld:
    """A file in a folder of the test's own."""

    def __init__(self, folder: Path) -> None:
        """Keep the file in `folder`."""
        self.path = folder / "log.db"

    def open(self) -> AbstractAsyncContextManager[Log]:
        """Open the file."""
        return SqliteLog.open(SqliteLogSettings(path=self.path), SystemClock())

    def history(self) -> AbstractAsyncContextManager[EventHistory]:
        """Open the file for reading alone."""
        return SqliteHistory.open(SqliteLogSettings(path=self.path), SystemClock())

    def refused_event(self) -> Event:
        """Return an event with half a surrogate pair, which no JSON holds."""
        return an_event("refused", data={"entity": "Account", "fields": {"Name": "\ud800"}})

    async def dead_letters(self) -> Sequence[DeadLetter]:
        """Read them with a connection of our own."""
        return [decode_dead_letter(body) for body in self._bodies("dead_letters")]

    async def continuity(self) -> Sequence[ContinuityRecord]:
        """Read them with a connection of our own."""
        return [decode_continuity(body) for body in self._bodies("continuity")]

    async def receipts(self) -> Sequence[Receipt]:
        """Read them with a connection of our own."""
        return [decode_receipt(body) for body in self._bodies("receipts")]

    def _bodies(self, table: str) -> list[bytes]:
        connection = sqlite3.connect(self.path)
        try:
            return [row[0] for row in connection.execute(f"SELECT body FROM {table} ORDER BY rowid")]  # noqa: S608 - names of ours
        finally:
            connection.close()


WORLDS: dict[str, Callable[[pytest.FixtureRequest], World]] = {
    "kafka": lambda request: request.getfixturevalue("kafka_worlds").new(request.getfixturevalue("tmp_path")),
    "memory": lambda _: MemoryWorld(),
    "sqlite": lambda request: SqliteWorld(request.getfixturevalue("tmp_path")),
}
