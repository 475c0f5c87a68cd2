"""A row that Streamer did not write has no effect on other rows."""

import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from streamer.controls import ContinuityFilter
from streamer.errors import LogMisconfigured
from streamer.log.sqlite.retention import foreign_rows
from tests.contracts.test_controls import PAUSED, REDRIVE, done
from tests.contracts.values import (
    CHANGES,
    a_checkpoint,
    a_dead_letter,
    a_hole,
    an_append,
    an_event,
    append_to,
)
from tests.letters import every_letter
from tests.unit.log.sqlite.conftest import LogFile

# Times far ahead keep the rows from being forgotten before they are read.
FOREIGN = {
    "checkpoints": "INSERT INTO checkpoints (channel, body) VALUES ('x', 'hello')",
    "audit": "INSERT INTO audit (recorded_at, body) VALUES (9999999999, 'hello')",
    "continuity": "INSERT INTO continuity (id, is_open, body) VALUES ('y', 1, 'hello')",
    "dead_letters": "INSERT INTO dead_letters (id, failed_at, head, body) VALUES ('y', 1, 'hello', 'hello')",
    "controls": "INSERT INTO controls VALUES ('y', 'hello')",
    "redrives": "INSERT INTO redrives VALUES ('y', 'hello')",
}


def execute(log_file: LogFile, *statements: str) -> None:
    """Change the file as a mistaken program would."""
    with closing(sqlite3.connect(log_file.settings.path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


async def test_everything_is_read_beside_foreign_rows(log_file: LogFile) -> None:
    """The daemon starts, and each list shows the rest."""
    append = replace(an_append(at=1), set_aside=[a_dead_letter("x")], continuity=[a_hole()])
    async with log_file.open() as log:
        await append_to(log, append)
        await log.controls.switch(PAUSED, done("subscriber.paused"))
        await log.controls.order(REDRIVE, done("redrive.ordered"))
    execute(log_file, *FOREIGN.values())
    with capture_logs() as lines:
        async with log_file.open() as log:
            for _ in range(2):
                assert await log.checkpoint(CHANGES) == a_checkpoint(1)
                assert await log.known_orgs() == {CHANGES.org}
                assert len(await log.stored_checkpoints()) == 1
                assert len(await log.controls.audit(last=9)) == 2
                assert await log.controls.continuity(ContinuityFilter(), last=9) == [a_hole()]
                assert await every_letter(log.controls) == [a_dead_letter("x")]
                board = await anext(log.controls.switched())
                assert (len(board.controls), len(board.redrives)) == (1, 1)

    places = [line["place"] for line in lines if line["event"] == "record.set_aside"]
    assert len(places) == len(FOREIGN)
    assert all(any(place.endswith(f"the table {table}") for place in places) for table in FOREIGN)


async def test_receipts_are_read_beside_a_foreign_row_that_is_told_once(log_file: LogFile) -> None:
    """It is counted with the others, and an operator still sees what became of an event."""
    async with log_file.open() as log:
        await append_to(log, an_append(an_event("a"), at=1))
    execute(log_file, """INSERT INTO receipts (recorded_at, body) VALUES (9999999999, '{"event_id":"a"}')""")
    async with log_file.open() as log:
        with capture_logs() as lines:
            found = [await log.history.receipts([an_event("a")], 0.0) for _ in range(2)]
        assert log.foreign_records == {"receipts": 1}

    assert [each.receipts for each in found] == [[], []]
    assert [line["place"] for line in lines if line["event"] == "record.set_aside"] == [
        "row 1 of the table receipts"
    ]


async def test_foreign_rows_are_found_in_every_table(log_file: LogFile) -> None:
    """The doctor names them, whether or not somebody reads them."""
    append = replace(an_append(at=1), set_aside=[a_dead_letter("x")], continuity=[a_hole()])
    async with log_file.open() as log:
        await append_to(log, append)
        await log.controls.switch(PAUSED, done("subscriber.paused"))
        await log.controls.order(REDRIVE, done("redrive.ordered"))
    assert await foreign_rows(log_file.settings.path, log_file.clock) == []
    more = {
        "snapshots": "INSERT INTO snapshots VALUES ('y', 'hello')",
        "positions": "INSERT INTO positions VALUES ('y', 'hello')",
        "receipts": "INSERT INTO receipts (recorded_at, body) VALUES (9999999999, 'hello')",
        "parked_lanes": "INSERT INTO parked_lanes VALUES ('x', 'y', 'hello')",
    }
    execute(log_file, *FOREIGN.values(), *more.values())

    places = await foreign_rows(log_file.settings.path, log_file.clock)

    assert sorted(place.rpartition(" ")[2] for place in places) == sorted(FOREIGN | more)


async def test_overwritten_checkpoint_is_not_taken_for_none(log_file: LogFile) -> None:
    """The channel would begin as a new one, and leave a hole without a word."""
    async with log_file.open() as log:
        await append_to(log, an_append(at=1))
    execute(log_file, "UPDATE checkpoints SET body = 'hello'")
    async with log_file.open() as log:
        with pytest.raises(LogMisconfigured, match=r"row 00D.* of the table checkpoints"):
            await log.checkpoint(CHANGES)
