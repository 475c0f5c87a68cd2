"""Retention of the log's file by age and size, and the search for foreign rows."""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from streamer.clock import Clock
from streamer.errors import LogUnavailable
from streamer.events import SubscriberName
from streamer.log.foreign_records import ForeignRecords
from streamer.log.records import (
    decode_audit,
    decode_checkpoint,
    decode_continuity,
    decode_control,
    decode_letter_head,
    decode_position_order,
    decode_receipt,
    decode_redrive,
    decode_setback,
    decode_snapshot_order,
)
from streamer.log.sqlite.database.worker import Worker, used_bytes
from streamer.log.sqlite.rows.offsets import sound
from streamer.log.sqlite.rows.parked import count_letters, count_parked
from streamer.log.sqlite.rows.states import forget_deleted
from streamer.observe.process import Pulses
from streamer.ports import LogRoom
from streamer.settings import SqliteLogSettings

RECEIPTS, AUDIT = "receipts", "audit"

# One DELETE of 507,000 rows held the writer for 2.4 s.
ROWS_AT_ONCE = 1_000
_HOUR_S = 3600.0
# Salesforce keeps events for three days, so an older event of a deleted record can arrive until then.
_DELETED_KEPT_S = 7 * 24 * _HOUR_S
_EVERY_S = 60.0
_RESUME_SHARE = 0.9

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Trimmed:
    """Result of one step of deletion: the number of deleted rows, and the remaining size.

    `held_by` is the subscriber that still needs the oldest remaining event.
    """

    deleted: int
    used_bytes: int
    held_by: SubscriberName | None = None


_Trim = Callable[[sqlite3.Connection], Trimmed]


def trim(connection: sqlite3.Connection, *, older_than: float | None, absent_before: float) -> Trimmed:
    """Delete some of the oldest events that every subscriber has settled.

    Only events appended before `older_than` are deleted; with `None`, events of any age
    are deleted. Subscribers that became absent before `absent_before` are ignored. A
    parked event stays deliverable, because another table has a copy of the event.
    """
    held_by, floor = slowest(connection, absent_before=absent_before) or (None, None)
    first = connection.execute("SELECT min(seq) FROM events").fetchone()[0]
    if first is None:
        return Trimmed(deleted=0, used_bytes=used_bytes(connection))
    bound = first + ROWS_AT_ONCE
    deleted = connection.execute(
        "DELETE FROM events WHERE seq < ? AND appended_at < ?",
        (bound if floor is None else min(bound, floor), _latest(older_than)),
    ).rowcount
    return Trimmed(
        deleted=deleted,
        used_bytes=used_bytes(connection),
        held_by=held_by if floor is not None and floor <= bound else None,
    )


def trim_records(connection: sqlite3.Connection, table: str, *, older_than: float | None) -> Trimmed:
    """Delete some of the oldest rows of `RECEIPTS` or `AUDIT` that were recorded before `older_than`."""
    deleted = connection.execute(
        f"DELETE FROM {table} "  # noqa: S608 - one of two names of our own
        f"WHERE seq < (SELECT min(seq) FROM {table}) + ? AND recorded_at < ?",
        (ROWS_AT_ONCE, _latest(older_than)),
    ).rowcount
    return Trimmed(deleted=deleted, used_bytes=used_bytes(connection))


def trim_deleted(connection: sqlite3.Connection, *, before: float) -> Trimmed:
    """Forget some of the records that were deleted before a time."""
    deleted = forget_deleted(connection, before, most=ROWS_AT_ONCE)
    return Trimmed(deleted=deleted, used_bytes=used_bytes(connection))


def _latest(older_than: float | None) -> float:
    return float("inf") if older_than is None else older_than


def slowest(connection: sqlite3.Connection, *, absent_before: float) -> tuple[SubscriberName, int] | None:
    """Return the subscriber that is furthest behind, and its offset.

    Subscribers that became absent before `absent_before` are ignored.
    """
    row = connection.execute(
        "SELECT name, next_offset FROM subscribers"
        " WHERE absent_since IS NULL OR absent_since >= ? ORDER BY next_offset LIMIT 1",
        (absent_before,),
    ).fetchone()
    return None if row is None else (SubscriberName(row[0]), row[1])


class Retention:
    """Deletes old and settled events; appends wait while the file is full.

    At the size limit, data that no subscriber waits for are deleted early: first
    settled events, and then receipts. A new event is worth more than an old
    receipt.
    """

    def __init__(self, writer: Worker, settings: SqliteLogSettings, clock: Clock) -> None:
        self._writer = writer
        self._settings = settings
        self._clock = clock
        self._used_bytes = 0
        self.freed = asyncio.Event()
        """Event that is set after each settlement, so that a waiting append checks the size again."""
        self._closed = False
        self._is_waiting = False
        self._early_receipts = 0

    def used(self, used_bytes: int) -> None:
        """Set the number of bytes that the file uses."""
        self._used_bytes = used_bytes

    def close(self) -> None:
        """End waiting appends with `LogUnavailable`."""
        self._closed = True
        self.freed.set()

    @property
    def present(self) -> LogRoom:
        """Current used size and maximum size of the file."""
        return LogRoom(path=self._settings.path, used=self._used_bytes, bound=self._settings.max_bytes)

    @property
    def lack(self) -> str:
        """Reason why an append waits; empty while no append waits."""
        if not self._is_waiting:
            return ""
        return (
            f"{self._settings.path} has reached log.sqlite.max_bytes, and Streamer can delete none of "
            "the events, because they are unsettled, parked or dead letters: fix the subscribers "
            "that are behind, redrive or discard dead letters, or raise log.sqlite.max_bytes."
        )

    async def wait(self) -> None:
        """Wait until the file is below its size limit; raises `LogUnavailable`."""
        try:
            await self._wait()
        finally:
            self._is_waiting = False

    async def _wait(self) -> None:
        full = limit = self._settings.max_bytes
        while self._used_bytes >= limit:
            self.freed.clear()
            trimmed = await self._make_room(limit)
            if trimmed.deleted or self._used_bytes < limit:
                continue
            if limit == full:
                await self._log_full(trimmed)
            self._is_waiting = True
            # If appends resumed directly below the limit, they would have to wait again after
            # one append.
            limit = int(full * _RESUME_SHARE)
            await self.freed.wait()
            if self._closed:
                raise LogUnavailable(f"the log {self._settings.path} was closed while it was still full")
        if limit < full:
            _log.info("log.has_room", path=str(self._settings.path), used_bytes=self._used_bytes)

    async def keep(self) -> None:
        """Once a minute, delete data older than the retention, except parked events; run until cancelled."""
        while True:
            try:
                await self._expire()
            except LogUnavailable as exc:
                _log.warning("log.retention_failed", path=str(self._settings.path), error=str(exc))
            await self._clock.sleep(_EVERY_S)

    async def _expire(self) -> None:
        oldest = self._clock.now() - self._settings.retention_h * _HOUR_S
        expired = {
            "events": await self._repeat(self._events(older_than=oldest)),
            "receipts": await self._repeat(self._records(RECEIPTS, older_than=oldest)),
            "audit": await self._repeat(self._records(AUDIT, older_than=oldest)),
            "deleted_records": await self._repeat(partial(trim_deleted, before=oldest - _DELETED_KEPT_S)),
        }
        if any(expired.values()):
            _log.info("log.events_expired", path=str(self._settings.path), **expired)
        self._log_early_receipts()
        self.freed.set()

    async def _make_room(self, limit: int) -> Trimmed:
        events = await self._step(self._events(older_than=None))
        if events.deleted or self._used_bytes < limit:
            return events
        receipts = await self._step(self._records(RECEIPTS, older_than=None))
        self._early_receipts += receipts.deleted
        return receipts if receipts.deleted else events

    async def _repeat(self, trim: _Trim) -> int:
        deleted = 0
        # Each step is a separate transaction, so that appends can run in between.
        while step := (await self._step(trim)).deleted:
            deleted += step
        return deleted

    async def _step(self, trim: _Trim) -> Trimmed:
        # The order of the jobs decides: a later append can be in the same transaction.
        return await self._writer.submit(trim, then=lambda trimmed: self.used(trimmed.used_bytes))

    def _events(self, *, older_than: float | None) -> _Trim:
        absent_before = self._clock.now() - self._settings.retention_h * _HOUR_S
        return partial(trim, older_than=older_than, absent_before=absent_before)

    def _records(self, table: str, *, older_than: float | None) -> _Trim:
        return partial(trim_records, table=table, older_than=older_than)

    def _log_early_receipts(self) -> None:
        if self._early_receipts:
            _log.warning(
                "log.receipts_expired_early",
                path=str(self._settings.path),
                receipts=self._early_receipts,
                hint=(
                    "raise log.sqlite.max_bytes, so that receipts stay for the whole log.sqlite.retention_h"
                ),
            )
            self._early_receipts = 0

    async def _log_full(self, trimmed: Trimmed) -> None:
        parked, letters = await self._writer.submit(_count_kept)
        _log.warning(
            "log.full",
            path=str(self._settings.path),
            used_bytes=self._used_bytes,
            max_bytes=self._settings.max_bytes,
            held_by=trimmed.held_by,
            parked_events=parked,
            dead_letters=letters,
        )


def _count_kept(connection: sqlite3.Connection) -> tuple[int, int]:
    return sum(count_parked(connection).values()), count_letters(connection)


_LAST_ROWS = 20_000
_TABLES: Mapping[tuple[str, str, str], Callable[[bytes], object]] = {
    ("checkpoints", "channel", "body"): decode_checkpoint,
    ("continuity", "seq", "body"): decode_continuity,
    # Only the head of a dead letter is decoded, because its body can have many megabytes.
    ("dead_letters", "seq", "head"): decode_letter_head,
    ("controls", "subscriber", "body"): decode_control,
    ("redrives", "id", "body"): decode_redrive,
    ("snapshots", "id", "body"): decode_snapshot_order,
    ("positions", "id", "body"): decode_position_order,
    ("audit", "seq", "body"): decode_audit,
    ("receipts", "seq", "body"): decode_receipt,
    ("parked_lanes", "lane", "setback"): decode_setback,
}
"""Decoders of records, by table, key column and record column."""


async def foreign_rows(path: Path, clock: Clock) -> list[str]:
    """Return the positions of the foreign rows among the last rows of each table in the file `path`.

    Raises `LogMisconfigured` for a file or a row with another version, and otherwise
    `LogUnavailable`.
    """
    async with Worker.sharing(path, pulses=Pulses(clock)) as reader:
        return await reader.submit(_found)


def _found(connection: sqlite3.Connection) -> list[str]:
    foreign = ForeignRecords()
    for (table, key, column), decode in _TABLES.items():
        rows = connection.execute(
            f"SELECT {key}, {column} FROM {table} ORDER BY {key} DESC LIMIT {_LAST_ROWS}"  # noqa: S608 - names of ours
        )
        for _ in sound(rows, decode, table, foreign):
            pass
    return foreign.places
