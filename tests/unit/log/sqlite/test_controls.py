"""Controls and dead letters in a log file."""

import asyncio
import itertools
import sqlite3
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace

import pytest

from streamer.controls import AuditRecord, Control, LetterFilter, Redrive, Switch
from streamer.errors import LogMisconfigured, LogUnavailable
from streamer.events import SubscriberName
from streamer.log.sqlite import SqliteLog
from streamer.log.sqlite.database.worker import Worker
from tests.contracts.parking import letters
from tests.contracts.values import a_dead_letter, an_append, append_to
from tests.unit.log.sqlite.conftest import LogFile
from tests.unit.log.sqlite.faulty_disk import LosesAnswers, LosesCommits, break_once
from tests.unit.log.sqlite.statements import traced, transactions

TARGET = SubscriberName("target")
PAUSED = Control(subscriber=TARGET, switch=Switch.PAUSED, by="operator", at=1.0)
DONE = AuditRecord(at=1.0, what="subscriber.paused", by="operator", subscriber=TARGET)


async def set_aside(log: SqliteLog, *names: str) -> None:
    """Append dead letters."""
    await append_to(log, replace(an_append(), set_aside=[a_dead_letter(name) for name in names]))


async def test_watchers_are_woken_and_nobody_asks_the_file(log_file: LogFile) -> None:
    """A pause is in effect at once, for everybody, and waiting for one costs nothing."""
    async with (
        log_file.open() as log,
        aclosing(log.controls.switched()) as first,
        aclosing(log.controls.switched()) as second,
    ):
        for boards in (first, second):
            assert not (await anext(boards)).pauses(TARGET)
        waiting = [asyncio.ensure_future(anext(boards)) for boards in (first, second)]
        statements = await traced(log._writer, log._reader)
        await log_file.clock.turn(30)
        assert not [each for each in statements if "controls" in each]
        await log.controls.switch(PAUSED, DONE)

        assert all(board.pauses(TARGET) for board in await asyncio.gather(*waiting))


async def test_change_between_two_looks_is_not_missed(log_file: LogFile) -> None:
    """Whoever is busy with one board gets the latest afterwards."""
    async with log_file.open() as log, aclosing(log.controls.switched()) as boards:
        await anext(boards)
        for at in range(5):
            await log.controls.switch(replace(PAUSED, at=float(at)), DONE)

        assert (await anext(boards)).controls[TARGET].at == 4.0


@pytest.mark.parametrize(("kind", "paused"), [(LosesAnswers, True), (LosesCommits, False)])
async def test_switch_that_failed_is_shown_as_the_file_has_it(
    log_file: LogFile, kind: type[sqlite3.Connection], *, paused: bool
) -> None:
    """The operator, the processes and a restart all see the same."""
    async with log_file.open() as log:
        await break_once(log, kind)
        with pytest.raises(LogUnavailable):
            await log.controls.switch(PAUSED, DONE)
        async with aclosing(log.controls.switched()) as boards:
            assert (await anext(boards)).pauses(TARGET) == paused
        assert list(await log.controls.audit(last=9)) == [DONE] * paused
    async with log_file.open() as log, aclosing(log.controls.switched()) as boards:
        assert (await anext(boards)).pauses(TARGET) == paused


async def test_ended_redrive_leaves_no_row(log_file: LogFile) -> None:
    """The file does not grow with each redrive that ever was."""
    redrive = Redrive(id="r", letters=LetterFilter(), per_second=1.0, by="operator", at=1.0)
    async with log_file.open() as log:
        await log.controls.order(redrive, DONE)
        await log.controls.order(replace(redrive, ended_at=2.0), DONE)
        count = await log._reader.submit(
            lambda connection: connection.execute("SELECT count(*) FROM redrives").fetchone()[0]
        )

    assert count == 0


async def test_long_audit_is_read_in_pages(log_file: LogFile) -> None:
    """The order holds, however many records are requested."""
    async with log_file.open() as log:
        await asyncio.gather(*(log.controls.note(replace(DONE, at=float(n))) for n in range(1_200)))

        assert [record.at for record in await log.controls.audit(last=1_100)] == list(range(100, 1_200))
        assert len(await log.controls.audit(last=10**6)) == 1_200
        assert list(await log.controls.audit(last=0)) == []


async def test_listing_is_not_upset_by_what_changes_meanwhile(log_file: LogFile) -> None:
    """Each letter is listed once: replaced ones too, removed ones not, later ones not."""
    names = [f"{n:04}" for n in range(1_200)]
    log_file.settings = log_file.settings.model_copy(update={"max_bytes": 100 * 1024**2})
    async with log_file.open() as log:
        await set_aside(log, *names)
        listing = log.controls.letter_cursor().heads()
        seen = [(await anext(listing)).id for _ in range(10)]
        await set_aside(log, "0003", "0700", "later")
        await log.controls.discard(["0005", "0800", "1199"], DONE)
        await set_aside(log, "0005", "1199")
        seen += [head.id async for head in listing]

    assert seen == [name for name in names if name not in {"0800", "1199"}]


async def test_letters_are_listed_in_bounded_pages(log_file: LogFile) -> None:
    """Pages are bounded in letters and bytes, so that a million letters do not fill memory."""
    log_file.settings = log_file.settings.model_copy(update={"max_bytes": 100 * 1024**2})
    large = [replace(a_dead_letter(f"large{n}"), raw=b"x" * 1_000_000) for n in range(8)]
    async with log_file.open() as log:
        await append_to(log, replace(an_append(), set_aside=large))
        await set_aside(log, *(str(n) for n in range(1_100)))
        statements = await traced(log._reader)
        assert len(await letters(log.controls)) == 1_108

    # The last number and three pages of heads, and six of letters.
    assert len(statements) == 10


async def test_cost_of_some_letters_does_not_grow_with_their_number(log_file: LogFile) -> None:
    """A redrive takes some letters at a time: SQLite goes to them, and lists no others."""
    log_file.settings = log_file.settings.model_copy(update={"max_bytes": 100 * 1024**2})
    costs = []
    async with log_file.open() as log:
        for more in (range(1_000), range(1_000, 10_000)):
            await set_aside(log, *map(str, more))
            cursor = log.controls.letter_cursor()
            assert len([head async for head in cursor.heads()]) == more.stop
            steps = await counted_steps(log._reader)
            assert len([letter async for letter in cursor.letters([*map(str, range(300, 400))])]) == 100
            assert len(await cursor.kept([*map(str, range(300, 400))])) == 100
            assert [head async for head in cursor.heads()] == []
            costs.append(steps())

    assert costs[1] <= 1.2 * costs[0]


async def counted_steps(reader: Worker) -> Callable[[], int]:
    """Return what tells how many hundred steps SQLite has made since."""
    steps = itertools.count()
    await reader.submit(lambda connection: connection.set_progress_handler(lambda: next(steps) < 0, 100))
    return lambda: next(steps)


async def test_many_letters_are_discarded_in_steps(log_file: LogFile) -> None:
    """Appends can run in between; the audit record is written before the first letter is removed."""
    names = [str(n) for n in range(2_500)]
    log_file.settings = log_file.settings.model_copy(update={"max_bytes": 100 * 1024**2})
    async with log_file.open() as log:
        await set_aside(log, *names)
        statements = await traced(log._writer)
        await log.controls.discard(names, DONE)
        assert await letters(log.controls) == []

    steps = transactions(statements, "dead_letters")
    assert len(steps) == 3
    assert "INSERT INTO audit" not in "".join(steps)


async def test_file_with_a_control_that_cannot_be_read_is_refused(log_file: LogFile) -> None:
    """A paused subscriber must not run because its pause was misread."""

    def spoil(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE controls SET body = '{\"v\": 2}'")

    async with log_file.open() as log:
        await log.controls.switch(PAUSED, DONE)
        await log._writer.submit(spoil)
    with pytest.raises(LogMisconfigured, match="a control of a subscriber of version 2"):
        async with log_file.open():
            pass


async def test_closed_log_switches_nothing(log_file: LogFile) -> None:
    """A caller that still holds it gets our error."""
    async with log_file.open() as log:
        pass
    with pytest.raises(LogUnavailable, match="is closed"):
        await log.controls.switch(PAUSED, DONE)
