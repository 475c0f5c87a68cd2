"""Brokers that freeze or die, and processes that write although they no longer own the partition."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from typing import Any

import pytest
from confluent_kafka import Producer

from streamer.clock import SystemClock
from streamer.errors import Fenced, LogUnavailable
from streamer.log.kafka.append.encoder import Checkpoints
from streamer.log.kafka.cluster import transactions
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.log import KafkaLog
from streamer.settings import KafkaLogSettings
from tests.contracts.test_controls import PAUSED, TARGET, done
from tests.contracts.values import CHANGES, a_checkpoint, an_append, an_event, append_to
from tests.integration.kafka.topics import ids, own_settings, warm_up
from tests.waiting import LIMIT_S, awaited, limited, until
from tools.kafka.broker import Broker

_DEADLINE_S = 15.0
_SHORT_DEADLINE_S = 3.0
_EVENT_TYPE = an_event(0).type


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """A broker that may be frozen and killed, for this file alone."""
    with Broker() as broker:
        warm_up(broker.bootstrap)
        yield broker


@pytest.fixture
def deadline_s() -> float:
    """Seconds after which an append is given up, more than anything takes that succeeds."""
    return _DEADLINE_S


in_short = pytest.mark.parametrize("deadline_s", [_SHORT_DEADLINE_S])


@pytest.fixture
def settings(broker: Broker, deadline_s: float) -> KafkaLogSettings:
    """Settings of nobody else."""
    return own_settings(broker.bootstrap, append_deadline_s=deadline_s)


@asynccontextmanager
async def opened(settings: KafkaLogSettings) -> AsyncIterator[KafkaLog]:
    """Open a log as a daemon does: again while a broker that has just started gives no answer in time."""
    async with AsyncExitStack() as stack:

        async def log() -> KafkaLog | None:
            with suppress(LogUnavailable):
                return await stack.enter_async_context(KafkaLog.open(settings, SystemClock()))
            return None

        yield await until(log)


@pytest.fixture
async def log(settings: KafkaLogSettings) -> AsyncIterator[KafkaLog]:
    """An open log that has written one event."""
    async with opened(settings) as log:
        await awaited(_insist(log, "first", at=1))
        yield log


async def _insist(log: KafkaLog, name: str, *, at: int) -> None:
    """Append an event as ingest does: read the checkpoint again after each failure."""
    while True:
        try:
            if await log.checkpoint(CHANGES) == a_checkpoint(at):
                return
            await append_to(log, an_append(an_event(name), at=at))
        except (LogUnavailable, Fenced):
            await asyncio.sleep(0.1)


async def _written(settings: KafkaLogSettings) -> list[str]:
    return sorted(await ids(settings.bootstrap_servers, Names.of(settings).event_topic(_EVENT_TYPE)))


@in_short
async def test_broker_that_freezes_in_mid_commit_loses_and_repeats_nothing(
    broker: Broker, settings: KafkaLogSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The append fails in time, and after the thaw its events are there once, whatever became of it."""
    events = [an_event(f"during-{n}") for n in range(500)]
    async with opened(settings) as log:
        await awaited(_insist(log, "first", at=1))
        monkeypatch.setattr(transactions, "Producer", Freezing(broker))
        try:
            with pytest.raises(LogUnavailable):
                await awaited(append_to(log, an_append(*events, at=2)))
            assert log.aborted_transactions >= 1
        finally:
            broker.thaw()
            monkeypatch.undo()
        while await awaited(_checkpoint(log)) != a_checkpoint(2):
            with suppress(LogUnavailable, Fenced):
                await append_to(log, an_append(*events, at=2))

    assert await _written(settings) == sorted(["first", *(event.id for event in events)])


class Freezing:
    """Stands for the client's producer, and freezes the broker as it begins to commit."""

    def __init__(self, broker: Broker) -> None:
        """Freeze `broker`."""
        self._broker = broker

    def __getattr__(self, name: str) -> Any:
        """Return what producers have."""
        return getattr(Producer, name)

    def commit_transaction(self, producer: Producer, *args: Any) -> None:
        """Commit, or let it be begun only."""
        self._broker.freeze()
        producer.commit_transaction(*args)


async def _checkpoint(log: KafkaLog) -> object:
    while True:
        try:
            return await log.checkpoint(CHANGES)
        except (LogUnavailable, Fenced):
            await asyncio.sleep(0.1)


@in_short
async def test_broker_that_is_killed_comes_back_with_every_event_once(
    broker: Broker, settings: KafkaLogSettings, log: KafkaLog
) -> None:
    """Acknowledged events are there after a restart, and failed ones are written once."""
    # The broker answers a commit before it has marked it, and a single node
    # that is killed in between loses the mark.
    await _written(settings)
    broker.kill()
    with pytest.raises(LogUnavailable):
        await append_to(log, an_append(an_event("down"), at=2))
    await asyncio.to_thread(broker.restart)

    await awaited(_insist(log, "down", at=2))

    assert await _written(settings) == ["down", "first"]


async def test_append_waits_for_a_broker_that_is_away_for_a_moment(
    broker: Broker, settings: KafkaLogSettings, log: KafkaLog
) -> None:
    """Trouble that passes within the deadline is not reported."""
    broker.freeze()
    appending = asyncio.ensure_future(append_to(log, an_append(an_event("second"), at=2)))
    await asyncio.sleep(0.3)
    broker.thaw()
    await appending

    assert await _written(settings) == ["first", "second"]


async def test_former_owner_that_wakes_up_is_fenced(settings: KafkaLogSettings, log: KafkaLog) -> None:
    """Once another process has read the checkpoint, nothing can be written behind its back."""
    async with opened(settings) as heir:
        assert await heir.checkpoint(CHANGES) == a_checkpoint(1)
        with pytest.raises(Fenced):
            await append_to(log, an_append(an_event("zombie"), at=2))
        await append_to(heir, an_append(an_event("heir"), at=2))

        assert await _written(settings) == ["first", "heir"]


async def test_append_behind_a_checkpoint_that_somebody_moved_is_refused(
    settings: KafkaLogSettings, log: KafkaLog
) -> None:
    """A process that opens its transaction again must not repeat events that others wrote meanwhile."""
    async with opened(settings) as heir:
        await _insist(heir, "second", at=2)
    with pytest.raises(Fenced):
        await append_to(log, an_append(an_event("second"), at=2))

    with pytest.raises(LogUnavailable, match="another process has changed the checkpoint"):
        await append_to(log, an_append(an_event("second"), at=2))

    assert await log.checkpoint(CHANGES) == a_checkpoint(2)
    await append_to(log, an_append(an_event("third"), at=3))
    assert await _written(settings) == ["first", "second", "third"]


async def test_transaction_that_a_former_owner_left_open_does_not_hold_up_the_next(
    settings: KafkaLogSettings,
) -> None:
    """The next owner ends it at once, instead of waiting for its time limit."""
    partition = _partition(settings)
    async with opened(settings):
        former = _left_open(settings, Names.of(settings).ingest_transactions(partition), partition)
    async with opened(settings) as log:
        await awaited(_insist(log, "heir", at=1))

    assert await _written(settings) == ["heir"]
    former.purge()


@in_short
async def test_checkpoint_is_not_told_while_it_is_undecided(settings: KafkaLogSettings) -> None:
    """A transaction that nobody of ours can end leaves the position uncertain: better wait than guess."""
    partition = _partition(settings)
    async with opened(settings) as log:
        stranger = _left_open(settings, f"stranger-{settings.prefix}", partition)
        with pytest.raises(LogUnavailable, match="a transaction is open"):
            await _told(log)
        stranger.abort_transaction(LIMIT_S)

        assert await awaited(_checkpoint(log)) is None


async def _told(log: KafkaLog) -> object:
    # The first call of a new id may take longer than this test's deadline.
    while True:
        try:
            return await log.checkpoint(CHANGES)
        except LogUnavailable as exc:
            if "transaction is open" in str(exc):
                raise


def _partition(settings: KafkaLogSettings) -> int:
    return Checkpoints(Clients(settings=settings)).partition_of(CHANGES)


def _left_open(settings: KafkaLogSettings, transactional_id: str, partition: int) -> Producer:
    producer = Producer(
        {
            "bootstrap.servers": settings.bootstrap_servers,
            "transactional.id": transactional_id,
            "log_level": 0,
            # The broker's own end of it is later than any test waits.
            "transaction.timeout.ms": 2 * round(LIMIT_S * 1000),
        }
    )
    producer.init_transactions(LIMIT_S)
    producer.begin_transaction()
    producer.produce(Names.of(settings).checkpoints, b"not committed", b"key", partition)
    producer.flush(LIMIT_S)
    return producer


async def test_watching_goes_on_after_a_broker_was_away(
    broker: Broker, settings: KafkaLogSettings, log: KafkaLog
) -> None:
    """A pause that another process made meanwhile is obeyed."""
    async with aclosing(log.controls.switched()) as boards:
        assert not (await anext(boards)).pauses(TARGET)
        await asyncio.to_thread(broker.restart)
        async with opened(settings) as other:
            await _paused(other)

        async with limited("the pause"):
            while not (await anext(boards)).pauses(TARGET):
                pass


async def _paused(log: KafkaLog) -> None:
    """Pause as an operator does: again after each failure."""

    async def is_paused() -> bool:
        with suppress(LogUnavailable):
            await log.controls.switch(PAUSED, done("subscriber.paused"))
            return True
        return False

    await until(is_paused)
