"""Contract of `ProcessRecords`: a report of each process reaches the other processes of its log."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from streamer.clock import SystemClock
from streamer.log.sqlite import SqliteLog
from streamer.ports import ProcessRecord, ProcessRecordKind, ProcessRecords
from streamer.settings import SqliteLogSettings
from tests.contracts.worlds import WORLDS, Log, World

NOW = round(time.time(), 3)


def a_record(
    instance: str, *, at: float = NOW, kind: ProcessRecordKind = ProcessRecordKind.STATE, number: int = 1
) -> ProcessRecord:
    """Return what the process `instance` reports."""
    return ProcessRecord(
        process=f"host of {instance}", instance=instance, kind=kind, at=at, body={"lag": number, "ü": ["é"]}
    )


@pytest.fixture(params=["kafka", "memory"])
def world(request: pytest.FixtureRequest) -> World:
    """A log that several processes share."""
    return WORLDS[request.param](request)


def records_of(log: Log) -> ProcessRecords:
    """Return the records of a log that can be shared."""
    assert log.processes is not None
    return log.processes


async def test_every_process_reads_the_newest_state_of_each(world: World) -> None:
    """A page shows the present of each process, and nothing of the past."""
    async with world.open() as one, world.open() as other:
        for number in (1, 2):
            await records_of(one).report(a_record("one", at=NOW + number, number=number))
        await records_of(other).report(a_record("other"))
        found = await records_of(other).newest(since=NOW - 60)

    assert sorted(found, key=lambda each: each.instance) == [
        a_record("one", at=NOW + 2, number=2),
        a_record("other"),
    ]


async def test_state_from_before_is_not_read(world: World) -> None:
    """The processes of last week are nobody's present."""
    async with world.open() as log:
        await records_of(log).report(a_record("old", at=NOW - 3000))
        await records_of(log).report(a_record("new"))
        found = await records_of(log).newest(since=NOW - 600)

    assert [each.instance for each in found] == ["new"]


async def test_process_that_has_ended_reports_nothing(world: World) -> None:
    """After a rollout, the former process must not look like one that is down."""
    async with world.open() as log:
        await records_of(log).report(a_record("one"))
        await records_of(log).report(replace(a_record("one", at=NOW + 1), body=None))
        found = await records_of(log).newest(since=NOW - 600)

    assert found == []


async def test_samples_are_read_in_their_order(world: World) -> None:
    """The charts of the last hour need every sample, and no state."""
    kind = ProcessRecordKind.SAMPLE
    async with world.open() as log:
        await records_of(log).report(a_record("one"))
        for number in range(3):
            await records_of(log).report(a_record("one", at=NOW + number, kind=kind, number=number))
        found = await records_of(log).samples(since=NOW - 60)

    assert found == [a_record("one", at=NOW + number, kind=kind, number=number) for number in range(3)]


async def test_nothing_is_read_before_the_first_report(world: World) -> None:
    """A process that is alone shows what it knows itself."""
    async with world.open() as log:
        assert await records_of(log).newest(since=NOW) == []
        assert await records_of(log).samples(since=NOW) == []


async def test_embedded_log_has_one_process(tmp_path: Path) -> None:
    """Nothing is written for others that can't exist."""
    async with SqliteLog.open(SqliteLogSettings(path=tmp_path / "log.db"), SystemClock()) as log:
        assert log.processes is None
