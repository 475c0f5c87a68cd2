"""A foreign record in one of Streamer's topics has no effect on other records."""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from threading import get_ident

import pytest
from confluent_kafka import Producer
from structlog.testing import capture_logs

from streamer.clock import SystemClock
from streamer.controls import ContinuityFilter
from streamer.doctor import Area
from streamer.errors import LogMisconfigured
from streamer.events import ParkedLane
from streamer.log.kafka.append.encoder import CommittedCheckpoints
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.names import Names, partition_of
from streamer.log.kafka.control import processes
from streamer.log.kafka.history.own_topics import OwnTopics
from streamer.log.kafka.log import KafkaLog
from streamer.log.kafka.records.parked import ParkedRecordKey
from streamer.log.kafka.topics.admin import TopicState
from streamer.log.kafka.topics.checks import TopicInspector
from streamer.log.records import decode_process_record
from streamer.ports import ProcessRecord, ProcessRecordKind
from streamer.settings import KafkaLogSettings
from tests.contracts.follower import following
from tests.contracts.parking import KEY, ONCE, park
from tests.contracts.test_controls import PAUSED, TARGET, done
from tests.contracts.test_process_records import NOW, a_record
from tests.contracts.values import (
    CHANGES,
    a_checkpoint,
    a_dead_letter,
    a_hole,
    an_append,
    an_event,
    append_to,
)
from tests.doctor import examined, line
from tests.integration.kafka.test_doctor import kept_in
from tests.integration.kafka.topics import own_settings

_CHECKPOINT_PARTITION = 3


@pytest.fixture
def settings(kafka: str) -> KafkaLogSettings:
    """Settings with names of the test's own."""
    return own_settings(kafka)


@asynccontextmanager
async def opened(settings: KafkaLogSettings) -> AsyncIterator[KafkaLog]:
    """Open the log, as a process that starts."""
    async with KafkaLog.open(settings, SystemClock()) as log:
        yield log


def write(settings: KafkaLogSettings, topic: str, *keys: bytes | None, partition: int = 0) -> None:
    """Write records with these keys, as a mistaken program would."""
    producer = Producer({"bootstrap.servers": settings.bootstrap_servers})
    for key in keys:
        producer.produce(topic, b"hello", key, partition=partition)
    assert producer.flush(30) == 0


def told(lines: Sequence[object], topic: str) -> list[str]:
    """Return the places in a topic that the log has told."""
    found = [line for line in lines if isinstance(line, dict) and line["event"] == "record.set_aside"]
    return [line["place"] for line in found if line["place"].startswith(f"topic {topic},")]


async def test_checkpoints_are_found_beside_a_foreign_record(settings: KafkaLogSettings) -> None:
    """Every process starts, and the newest sound checkpoint of each channel counts."""
    topic = Names.of(settings).checkpoints
    async with opened(settings) as log:
        await log.checkpoint(CHANGES)
        await append_to(log, an_append(an_event("a"), at=1))
    keys = b"x", str(CHANGES).encode()
    write(settings, topic, *keys, partition=_CHECKPOINT_PARTITION)
    with capture_logs() as lines:
        async with opened(settings) as log, aclosing(log.owned([CHANGES])) as owned:
            assert await anext(owned) == {CHANGES}
            assert await log.checkpoint(CHANGES) == a_checkpoint(1)
            assert await log.known_orgs() == {CHANGES.org}
            assert [each.checkpoint for each in await log.stored_checkpoints()] == [a_checkpoint(1)]
            await append_to(log, an_append(an_event("b"), at=2))
            assert await log.checkpoint(CHANGES) == a_checkpoint(2)

    assert len(told(lines, topic)) == len(keys)
    assert "partition 3, offset " in told(lines, topic)[0]
    assert "key 'x'" in told(lines, topic)[0]


async def test_checkpoint_that_a_foreign_record_has_replaced_is_not_taken_for_none(
    settings: KafkaLogSettings,
) -> None:
    """After compaction, the channel would begin as a new one, and leave a hole without a word."""
    topic = Names.of(settings).checkpoints
    async with opened(settings):
        write(settings, topic, str(CHANGES).encode(), partition=_CHECKPOINT_PARTITION)
    async with opened(settings) as log:
        with pytest.raises(LogMisconfigured, match=r"partition 3, offset 0, key '00D"):
            await log.checkpoint(CHANGES)
    assert CommittedCheckpoints().of(CHANGES) is None


async def test_operators_see_everything_beside_foreign_records(settings: KafkaLogSettings) -> None:
    """Foreign records stop none of the readers: audit, holes, letters and switches stay readable."""
    names = Names.of(settings)
    topics = names.audit, names.continuity, names.dead_letters, names.control
    async with opened(settings) as log:
        await log.checkpoint(CHANGES)
        append = replace(an_append(), set_aside=[a_dead_letter("x")], continuity=[a_hole()])
        await append_to(log, append)
        await log.controls.switch(PAUSED, done("subscriber.paused"))
    for topic in topics:
        write(settings, topic, b"subscriber/target" if topic == names.control else b"x#0")
    with capture_logs() as lines:
        async with opened(settings) as log:
            for _ in range(2):
                found = await log.controls.audit(last=9)
                assert [record.what for record in found] == ["subscriber.paused"]
                assert await log.controls.continuity(ContinuityFilter(), last=9) == [a_hole()]
                cursor = log.controls.letter_cursor()
                assert [head.id async for head in cursor.heads()] == ["x"]
                assert [letter async for letter in cursor.letters(["x"])] == [a_dead_letter("x")]
            async with aclosing(log.controls.switched()) as boards:
                assert (await anext(boards)).pauses(TARGET)

    assert [len(told(lines, topic)) for topic in topics] == [1, 1, 1, 1]


async def test_parked_events_are_found_beside_foreign_records(settings: KafkaLogSettings) -> None:
    """Also where one has the key of an event, or of its lane."""
    topic = Names.of(settings).parked(TARGET)
    async with opened(settings) as log:
        await log.checkpoint(CHANGES)
        await append_to(log, an_append(an_event("a", key=KEY)))
        async with following(log) as follower:
            await follower.read_until("a")
            [entry] = follower.entries
            await park(follower, entry)
    place = entry.partition.topic, entry.partition.number, KEY
    home = settings.parked_partitions
    keys = b"x", ParkedRecordKey(*place).encode(), ParkedRecordKey(*place, entry.offset).encode()
    for partition in range(home):
        write(settings, topic, *keys, partition=partition)
    async with opened(settings) as log:
        await append_to_next(log)
        async with following(log) as follower:
            await follower.read_until("b")
            assert follower.lanes == [ParkedLane(lane=KEY, offsets=(entry.offset,), setback=ONCE)]
            assert await follower.recall(entry) == [entry]


async def test_receipts_are_read_beside_a_foreign_record(settings: KafkaLogSettings) -> None:
    """It is reported once, and counted; a record that only looks like the event's receipt is ignored."""
    topic = Names.of(settings).receipts
    event = an_event("a")
    async with opened(settings) as log:
        await log.checkpoint(CHANGES)
        await append_to(log, an_append(event, at=1))
        async with following(log):
            pass
        number = partition_of(event.key.encode(), settings.partitions)
        write(settings, topic, b"x", event.key.encode(), partition=number)
        with capture_logs() as lines:
            found = [await log.history.receipts([event], 0.0) for _ in range(2)]
        assert log.foreign_records[topic] == 2

    assert [each.receipts for each in found] == [[], []]
    assert len(told(lines, topic)) == 2


async def test_reports_of_processes_are_read_beside_a_foreign_record(settings: KafkaLogSettings) -> None:
    """Both kinds of record; the foreign one is reported once, and no page fails."""
    topic = Names.of(settings).processes
    async with opened(settings) as log:
        for kind in ProcessRecordKind:
            await log.processes.report(replace(a_record("one"), kind=kind))
        for partition in (0, 1):
            write(settings, topic, b"x", None, partition=partition)
        found = [await log.processes.newest(since=NOW - 60), await log.processes.samples(since=NOW - 60)]
        assert log.foreign_records[topic] == 4

    assert [[each.instance for each in records] for records in found] == [["one"], ["one"]]


async def test_reports_are_decoded_on_a_thread(
    settings: KafkaLogSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of records take seconds, and the event loop must not wait for them."""
    threads: set[int] = set()

    def decoded(raw: bytes) -> ProcessRecord:
        threads.add(get_ident())
        return decode_process_record(raw)

    monkeypatch.setattr(processes, "decode_process_record", decoded)
    async with opened(settings) as log:
        for kind in ProcessRecordKind:
            await log.processes.report(replace(a_record("one"), kind=kind))
        found = [await log.processes.newest(since=NOW - 60), await log.processes.samples(since=NOW - 60)]

    assert [len(records) for records in found] == [1, 1]
    assert get_ident() not in threads


async def test_doctor_names_foreign_records(settings: KafkaLogSettings, tmp_path: Path) -> None:
    """Those of every topic, with their places; without them it says so."""
    names = Names.of(settings)
    async with opened(settings) as log:
        await log.checkpoint(CHANGES)
        append = replace(an_append(), set_aside=[a_dead_letter("x")], continuity=[a_hole()])
        await append_to(log, append)
        await log.controls.switch(PAUSED, done("subscriber.paused"))
        async with following(log):
            pass
    assert OwnTopics(Clients(settings=settings)).foreign_records(states(settings)) == []
    topics = [names.checkpoints, names.audit, names.continuity, names.dead_letters, names.receipts]
    topics += [names.control, names.parked(TARGET)]
    for topic in topics:
        write(settings, topic, b"subscriber/target" if topic == names.control else b"x")

    found = OwnTopics(Clients(settings=settings)).foreign_records(states(settings))
    assert sorted(each.partition(",")[0] for each in found) == sorted(f"topic {topic}" for topic in topics)
    diagnosis = await examined(tmp_path, kept_in(settings), Area.LOG)
    [fault] = [line(each) for each in diagnosis.findings if each.name == "Kafka records"]
    assert "hold 7 records that Streamer did not write" in fault
    assert re.search(r"ignores: topic .*partition .*offset .*key ", fault)


def states(settings: KafkaLogSettings) -> Sequence[TopicState]:
    """Return the topics of a log."""
    inspector = TopicInspector(settings, SystemClock(), timeout_s=20.0)
    return inspector.topics(inspector.brokers(), [TARGET], []).states


async def append_to_next(log: KafkaLog) -> None:
    """Append one more event."""
    await log.checkpoint(CHANGES)
    await append_to(log, an_append(an_event("b", key="other"), at=2))
