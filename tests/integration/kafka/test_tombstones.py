"""Tombstones after deletions, in a real Kafka, for independent consumers and for Streamer's own readers."""

from contextlib import aclosing
from dataclasses import replace

import pytest

from streamer.clock import SystemClock
from streamer.errors import EventsRefused
from streamer.events import EventId, Partition, Start, SubscriberName
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.history.history import KafkaHistory
from streamer.log.kafka.log import KafkaLog
from streamer.ports import EventSearch, Subscription
from streamer.settings import KafkaLogSettings
from tests.contracts.follower import following
from tests.contracts.values import CHANGES, an_append, an_event, append_to
from tests.integration.kafka.test_append import incompressible
from tests.integration.kafka.topics import make_topic, own_settings, read_committed
from tests.waiting import limited, until

ONE = "001000000000001AAA"
CREATED, DELETED, UNDELETED = (
    an_event(name, what=f"salesforce.cdc.Account.{name}", key=ONE)
    for name in ("created", "deleted", "undeleted")
)
TARGET = SubscriberName("target")


@pytest.fixture(params=["binary", "structured"])
def settings(kafka: str, request: pytest.FixtureRequest) -> KafkaLogSettings:
    """Settings with tombstones, and one partition for each topic."""
    return own_settings(
        kafka,
        tombstones=True,
        partitions=1,
        checkpoint_partitions=1,
        content_mode=request.param,
        options={"topic.metadata.refresh.interval.ms": 250},
    )


def account_topic(settings: KafkaLogSettings) -> str:
    """Return the topic of Account."""
    return Names.of(settings).event_topic(DELETED.type)


async def seen(settings: KafkaLogSettings, topic: str = "") -> list[tuple[str, bool]]:
    """Return the key of each record that an independent consumer gets, and whether it has a value."""
    records = await read_committed(settings.bootstrap_servers, topic or account_topic(settings))
    return [((each.key or b"").decode(), each.value is not None) for each in records]


async def test_consumer_gets_a_tombstone_after_a_deletion_and_the_undeletion_after_it(
    settings: KafkaLogSettings,
) -> None:
    """All are in one partition, with one key; the tombstone has the time of its event."""
    async with KafkaLog.open(settings, SystemClock()) as log:
        await log.checkpoint(CHANGES)
        await append_to(log, an_append(CREATED, DELETED, an_event("other"), at=1))
        await append_to(log, an_append(UNDELETED, at=2))

    assert await seen(settings) == [(ONE, True), (ONE, True), (ONE, False), ("other", True), (ONE, True)]
    records = await read_committed(settings.bootstrap_servers, account_topic(settings))
    assert records[1].timestamp == records[2].timestamp
    assert records[2].headers == ()


async def test_deletions_of_other_kinds_and_without_the_option_get_no_tombstone(kafka: str) -> None:
    """A PushTopic's notification ends in `deleted` too, but its topic is not a change topic."""
    pushed = an_event("pushed", what="salesforce.topic.Open.deleted", key=ONE)
    plain, asked = own_settings(kafka, partitions=1), own_settings(kafka, partitions=1, tombstones=True)
    for settings in (plain, asked):
        async with KafkaLog.open(settings, SystemClock()) as log:
            await log.checkpoint(CHANGES)
            await append_to(log, an_append(DELETED, pushed))

    assert await seen(plain) == [(ONE, True)]
    assert await seen(asked) == [(ONE, True), (ONE, False)]
    assert await seen(asked, Names.of(asked).event_topic(pushed.type)) == [(ONE, True)]


async def test_event_has_one_tombstone_after_an_append_that_was_refused_first(kafka: str) -> None:
    """Nothing of the refused transaction is seen, and the retry writes each record once."""
    settings = own_settings(kafka, tombstones=True, partitions=1, checkpoint_partitions=1)
    small = Names.of(settings).event_topic("salesforce.event.Small__e")
    make_topic(kafka, small, max_message_bytes="20000")
    large = incompressible("large", 40_000)
    async with KafkaLog.open(settings, SystemClock()) as log:
        await log.checkpoint(CHANGES)
        with pytest.raises(EventsRefused) as raised:
            await append_to(log, an_append(DELETED, large))
        assert [event.id for event in raised.value.events] == ["large"]
        await append_to(log, an_append(DELETED))

    assert await seen(settings) == [(ONE, True), (ONE, False)]


async def test_refused_deletion_takes_its_tombstone_with_it(kafka: str) -> None:
    """A record that was not deleted in the topic keeps its last value there."""
    settings = own_settings(kafka, tombstones=True, partitions=1, checkpoint_partitions=1)
    make_topic(kafka, account_topic(settings), max_message_bytes="20000")
    large = replace(incompressible("large", 40_000), type=DELETED.type)
    async with KafkaLog.open(settings, SystemClock()) as log:
        await log.checkpoint(CHANGES)
        with pytest.raises(EventsRefused) as raised:
            await append_to(log, an_append(CREATED, large))
        assert [event.id for event in raised.value.events] == ["large"]
        await append_to(log, an_append(CREATED))

    assert await seen(settings) == [(ONE, True)]


async def test_subscriber_passes_over_tombstones_and_settles_them(settings: KafkaLogSettings) -> None:
    """A tombstone makes no entry, and its offset is settled even at the end of its partition."""
    place = Partition(topic=account_topic(settings), number=0)
    async with KafkaLog.open(settings, SystemClock()) as log:
        await log.checkpoint(CHANGES)
        await append_to(log, an_append(CREATED, DELETED, at=1))
        async with following(log) as follower:
            assert await follower.read_until("deleted") == ["created", "deleted"]
            # Two events, a tombstone and the marker of the transaction.
            await follower.read_past(4)
            await follower.settle()
            assert (follower.through[place], follower.behind) == (4, 0)
        await append_to(log, an_append(UNDELETED, at=2))
        async with following(log) as follower:
            assert await follower.read_until("undeleted") == ["undeleted"]
            await follower.settle()
            subscription = Subscription(subscriber=TARGET, patterns=("salesforce.*",), start=Start.EARLIEST)
            async with aclosing(log.settled_events(subscription, {place: 0})) as settled:
                assert [each.event.id async for each in settled] == ["created", "deleted", "undeleted"]


async def test_operators_readers_pass_over_tombstones(settings: KafkaLogSettings) -> None:
    """A search, a look at one offset, a comparison's reading and a live tail show events only."""
    async with KafkaLog.open(settings, SystemClock()) as log:
        await log.checkpoint(CHANGES)
        await append_to(log, an_append(CREATED, DELETED, UNDELETED))
        async with KafkaHistory.open(settings) as history, limited("the readers"):

            async def are_visible() -> bool:
                return len((await history.find(EventSearch(record=ONE))).events) == len(
                    (CREATED, DELETED, UNDELETED)
                )

            # A commit is visible a moment after its answer.
            await until(are_visible)
            found = await history.find(EventSearch(record=ONE))
            assert sorted(each.event.id for each in found.events) == ["created", "deleted", "undeleted"]
            place = Partition(topic=account_topic(settings), number=0)
            assert await history.at(place, 2) is None
            start = await history.start("Account", 1_700_000_000.0)
            pages = [page async for page in history.changes("Account", start)]
            assert [each.id for page in pages for each in page.events] == ["created", "deleted", "undeleted"]
            async with aclosing(history.appended()) as tail:
                assert not (await anext(tail)).events
                late = replace(DELETED, id=EventId("late"))
                await append_to(log, an_append(late, an_event("last"), at=2))
                ids: list[str] = []
                while "last" not in ids:
                    ids += [each.event.id for each in (await anext(tail)).events]
                assert ids == ["late", "last"]
        assert log.foreign_records == {}
