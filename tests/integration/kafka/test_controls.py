"""Controls and audit records in a real Kafka, beyond the contract suite."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from itertools import chain

import pytest
from confluent_kafka import Message

from streamer.clock import SystemClock
from streamer.controls import Control, Switch
from streamer.errors import LogUnavailable
from streamer.log.kafka.cluster.bounded_reader import BoundedReader
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.control.controls import ControlWriter
from streamer.log.kafka.control.letters import LetterReader
from streamer.log.kafka.log import KafkaLog
from streamer.log.kafka.records.controls import control_record
from streamer.log.kafka.topics.admin import KafkaAdmin
from streamer.settings import KafkaLogSettings
from tests.contracts.kafka_world import read_committed
from tests.contracts.test_controls import PAUSED, REDRIVE, SNAPSHOT, TARGET, done
from tests.contracts.values import a_dead_letter, an_append, append_to
from tests.integration.kafka.topics import own_settings
from tests.waiting import awaited

_RUNNING = replace(PAUSED, switch=Switch.RUNNING)


@pytest.fixture
def settings(kafka: str) -> KafkaLogSettings:
    """Settings with names of the test's own."""
    return own_settings(kafka)


@pytest.fixture
async def log(settings: KafkaLogSettings) -> AsyncIterator[KafkaLog]:
    """An open log."""
    async with KafkaLog.open(settings, SystemClock()) as log:
        yield log


async def set_aside(log: KafkaLog, *names: str, size: int = 1, error: str = "first") -> None:
    """Set dead letters aside whose raw bytes are of that size."""
    letters = [replace(a_dead_letter(name, error=error), raw=b"x" * size) for name in names]
    await log.checkpoint(an_append().checkpoint.channel)
    await append_to(log, replace(an_append(), set_aside=letters))


def latest(settings: KafkaLogSettings, topic: str) -> dict[bytes | None, bytes | None]:
    """Return the records that compaction leaves of a topic."""
    records = read_committed(settings.bootstrap_servers, topic)
    return {record.key(): record.value() for record in records}


async def test_topic_holds_one_record_for_each_switch(settings: KafkaLogSettings, log: KafkaLog) -> None:
    """Ended orders are removed, so that the topic does not grow with the years."""
    for control in (PAUSED, _RUNNING, PAUSED):
        await log.controls.switch(control, done("subscriber.switched"))
    await log.controls.order(REDRIVE, done("redrive.ordered"))
    await log.controls.leave_out(REDRIVE.id, {"b:target"}, done("redrive.superseded"))
    await log.controls.order(replace(REDRIVE, ended_at=20.0), done("redrive.ended"))
    await log.controls.order_snapshot(SNAPSHOT, done("snapshot.ordered"))
    await log.controls.order_snapshot(replace(SNAPSHOT, ended_at=20.0), done("snapshot.ended"))

    left = latest(settings, Names.of(settings).control)
    assert {key: value is not None for key, value in left.items()} == {
        b"subscriber/target": True,
        b"redrive/r1": False,
        b"left-out/r1": False,
        b"snapshot/snapshot:1": False,
    }


async def test_closing_the_log_ends_who_watches(settings: KafkaLogSettings) -> None:
    """No watcher waits for a board that never comes."""
    async with KafkaLog.open(settings, SystemClock()) as log:
        boards = log.controls.switched()
        await anext(boards)
        waiting = asyncio.ensure_future(anext(boards, None))
        await asyncio.sleep(0)

    assert await awaited(waiting) is None


async def test_broker_that_does_not_answer_is_told_in_time() -> None:
    """The caller must know that its change is possibly not in effect."""
    settings = own_settings("127.0.0.1:9")
    writer = ControlWriter(Clients(settings=settings), deadline_s=0.3)
    control = Control(subscriber=TARGET, switch=Switch.PAUSED, by="operator", at=1.0)
    for _ in range(2):
        with pytest.raises(LogUnavailable, match=r"writing to topic .*control"):
            await awaited(writer.write([control_record(control, "control")]))
    await writer.close()

    with pytest.raises(LogUnavailable, match="the log is closed"):
        await writer.write([control_record(control, "control")])


async def test_large_letter_is_discarded_in_all_its_parts(settings: KafkaLogSettings, log: KafkaLog) -> None:
    """All of its chunks are removed, and none of its neighbours'."""
    await set_aside(log, "large", "large#0", size=1_500_000)
    await log.controls.discard(["large"], done("deadletters.discarded"))

    left = latest(settings, Names.of(settings).dead_letters)
    assert {key for key, value in left.items() if value} == {b"large#0#%d" % part for part in range(4)}
    assert [head.id async for head in log.controls.letter_cursor().heads()] == ["large#0"]


async def test_letter_that_is_set_aside_anew_while_they_are_listed_comes_once(
    settings: KafkaLogSettings, log: KafkaLog
) -> None:
    """The list shows the letters of the moment when it began."""
    await set_aside(log, *(f"{number:03d}" for number in range(100)))
    clients = Clients(settings=settings)
    heads = LetterReader(clients, KafkaAdmin(clients)).heads()
    found = await asyncio.to_thread(next, heads)
    await set_aside(log, *(f"{number:03d}" for number in range(50, 150)), error="second")
    found += chain.from_iterable(await asyncio.to_thread(list, heads))

    assert [head.id for head in found] == [f"{number:03d}" for number in range(100)]


async def test_letters_are_read_once_and_then_only_what_has_changed(
    log: KafkaLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A redrive takes some letters at a time, whatever their number."""
    names = [f"{number:04d}" for number in range(1_200)]
    await set_aside(log, *names)
    read, records = BoundedReader.read, 0

    def counted(reader: BoundedReader, count: int, timeout_s: float) -> list[Message]:
        nonlocal records
        found = read(reader, count, timeout_s)
        records += len(found)
        return found

    monkeypatch.setattr(BoundedReader, "read", counted)
    cursor = log.controls.letter_cursor()
    assert len([head async for head in cursor.heads()]) == len(names)
    assert records == len(names)
    for begin in range(0, len(names), 100):
        some = names[begin : begin + 100]
        assert len([letter async for letter in cursor.letters(some)]) == 100
        assert await cursor.kept(some) == {*some}
    assert records == 2 * len(names)
    await log.controls.discard(names[:3], done("deadletters.discarded"))
    records = 0
    assert await cursor.kept(names) == {*names[3:]}
    assert records == 3


async def test_who_stops_listing_is_not_held_up(log: KafkaLog) -> None:
    """A caller that stops early leaves no reader behind."""
    await set_aside(log, *(f"{number:03d}" for number in range(100)))
    async with aclosing(log.controls.letter_cursor().heads()) as heads:
        assert (await anext(heads)).id == "000"
    for thread in threading.enumerate():
        if thread.name.startswith("kafka-dead-letters"):
            await asyncio.to_thread(thread.join, 20)
            assert not thread.is_alive()
