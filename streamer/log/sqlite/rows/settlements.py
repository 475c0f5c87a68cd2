"""Rows of settlements."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from streamer.events import SettledOffsets, SubscriberName
from streamer.log.records import encode_receipt
from streamer.log.sqlite.database.worker import insert_rows, used_bytes
from streamer.log.sqlite.rows.appends import AppendedEnd, end, event_row
from streamer.log.sqlite.rows.pages import PARTITION
from streamer.log.sqlite.rows.parked import (
    LetterRow,
    ParkedRows,
    letter_key,
    letter_rows,
    remove_letters,
    write_letters,
)
from streamer.log.sqlite.rows.subscribers import write_progress
from streamer.ports import Settlement

_ReceiptRow = tuple[int, bytes]
_ForwardedRow = tuple[int, str, int, bytes, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedSettlement:
    """A settlement as rows; `number` counts those of its subscriber."""

    subscriber: SubscriberName
    number: int
    progress: SettledOffsets | None
    dead_letters: Sequence[LetterRow]
    parked: ParkedRows
    receipts: Sequence[_ReceiptRow]
    redriven: Sequence[str]
    forwarded: Sequence[_ForwardedRow]

    @property
    def weight(self) -> int:
        """Approximate number of its rows."""
        rows = (self.dead_letters, self.parked.joined, self.parked.setbacks, self.receipts, self.redriven)
        return 1 + sum(map(len, rows)) + len(self.forwarded)


def encode_settlement(
    settlement: Settlement, *, subscriber: SubscriberName, number: int, now: float
) -> EncodedSettlement:
    """Return `settlement` as rows."""
    return EncodedSettlement(
        subscriber=subscriber,
        number=number,
        progress=settlement.progress.get(PARTITION),
        dead_letters=letter_rows(settlement.set_aside),
        parked=ParkedRows.of(subscriber, settlement.lanes),
        receipts=[(int(now), encode_receipt(receipt)) for receipt in settlement.receipts],
        redriven=[letter_key(id_) for id_ in settlement.redriven],
        forwarded=[(*event_row(each.event, int(now)), each.to) for each in settlement.forwarded],
    )


def write_settlement(connection: sqlite3.Connection, settlement: EncodedSettlement) -> AppendedEnd | None:
    """Record all of `settlement`, unless it is recorded already.

    Returns the end and the size of the log if it can have grown.
    """
    is_new = write_progress(
        connection, settlement.subscriber, settlement.progress, settlement=settlement.number
    )
    if is_new:
        _write(connection, settlement)
    if not settlement.forwarded:
        return None
    return AppendedEnd(end=end(connection), used_bytes=used_bytes(connection))


def _write(connection: sqlite3.Connection, settlement: EncodedSettlement) -> None:
    # Remove first: a redriven event can have been set aside again in this settlement.
    remove_letters(connection, settlement.redriven)
    write_letters(connection, settlement.dead_letters)
    settlement.parked.write(connection)
    insert_rows(connection, "INSERT INTO receipts (recorded_at, body)", settlement.receipts)
    insert_rows(
        connection,
        "INSERT INTO events (appended_at, type, size, body, forwarded_to)",
        settlement.forwarded,
    )
