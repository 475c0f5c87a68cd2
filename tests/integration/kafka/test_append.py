"""A real broker refuses some events; the rest of the batch is still written."""

import asyncio
from dataclasses import replace
from hashlib import shake_128

import pytest

from streamer.clock import SystemClock
from streamer.errors import EventsRefused, LogMisconfigured
from streamer.events import Channel, Event
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.log import KafkaLog
from streamer.settings import KafkaLogSettings
from tests.contracts.kafka_world import read_dead_letters
from tests.contracts.values import CHANGES, ORG, a_checkpoint, a_dead_letter, an_append, an_event, append_to
from tests.integration.kafka.topics import ids, make_topic, own_settings

_SMALL = "salesforce.event.Small__e"
_ORDERS = Channel(org=ORG, path="/event/Order_Placed__e")


def incompressible(name: object, size: int) -> Event:
    """Return an event that stays as large as it is."""
    text = shake_128(str(name).encode()).hexdigest(size // 2)
    return an_event(str(name), what=_SMALL, data={"text": text})


@pytest.fixture
def settings(kafka: str) -> KafkaLogSettings:
    """One partition for all checkpoints, and a topic with a limit of 20 KB per event."""
    settings = own_settings(kafka, checkpoint_partitions=1)
    make_topic(kafka, Names.of(settings).event_topic(_SMALL), max_message_bytes="20000")
    return settings


async def test_checkpoint_never_passes_an_event_that_the_broker_refused(settings: KafkaLogSettings) -> None:
    """Nothing of the append is seen; without the event, which is set aside, the channel goes on."""
    small, large = incompressible("small", 100), incompressible("large", 40_000)
    names, address = Names.of(settings), settings.bootstrap_servers
    async with KafkaLog.open(settings, SystemClock()) as log:
        await append_to(log, an_append(incompressible("former", 100), at=1))
        with pytest.raises(EventsRefused) as raised:
            await append_to(log, an_append(an_event("other"), small, large, at=2))
        assert [event.id for event in raised.value.events] == ["large"]
        assert log.aborted_transactions > 0
        assert await log.checkpoint(CHANGES) == a_checkpoint(1)
        assert await ids(address, names.event_topic(_SMALL)) == ["former"]

        letter = replace(a_dead_letter("large"), event=large)
        await append_to(log, replace(an_append(an_event("other"), small, at=2), set_aside=[letter]))

        assert await log.checkpoint(CHANGES) == a_checkpoint(2)
    assert await ids(address, names.event_topic(_SMALL)) == ["former", "small"]
    assert await ids(address, names.event_topic(an_event(1).type)) == ["other"]
    assert read_dead_letters(address, names.dead_letters) == [letter]


async def test_refused_event_does_not_stop_another_channel(settings: KafkaLogSettings) -> None:
    """Of appends that are committed together, only the one with the event fails."""
    async with KafkaLog.open(settings, SystemClock()) as log:
        await append_to(log, an_append(at=0))
        refused, written = await asyncio.gather(
            append_to(log, an_append(incompressible("large", 40_000), at=1)),
            append_to(log, an_append(an_event("other"), at=1, channel=_ORDERS)),
            return_exceptions=True,
        )

        assert isinstance(refused, EventsRefused)
        assert written is None
        assert await log.checkpoint(CHANGES) == a_checkpoint(0)
        assert await log.checkpoint(_ORDERS) == a_checkpoint(1, channel=_ORDERS)


async def test_append_that_waits_behind_a_refused_one_of_its_channel_fails_too(
    settings: KafkaLogSettings,
) -> None:
    """It must not move the checkpoint past events that are not there."""
    async with KafkaLog.open(settings, SystemClock()) as log:
        await append_to(log, an_append(at=0))
        outcomes = await asyncio.gather(
            append_to(log, an_append(incompressible("large", 40_000), at=1)),
            append_to(log, an_append(an_event("later"), at=2)),
            return_exceptions=True,
        )

        assert all(isinstance(outcome, Exception) for outcome in outcomes)
        assert await log.checkpoint(CHANGES) == a_checkpoint(0)


async def test_events_that_are_too_large_only_together_are_all_written(settings: KafkaLogSettings) -> None:
    """A broker refuses whole batches; one that was too large does not make its events invalid."""
    events = [incompressible(n, 900) for n in range(100)]
    async with KafkaLog.open(settings, SystemClock()) as log:
        await append_to(log, an_append(*events))

    written = await ids(settings.bootstrap_servers, Names.of(settings).event_topic(_SMALL))
    assert written == [event.id for event in events]


async def test_event_whose_attributes_are_no_text_is_refused_by_name(settings: KafkaLogSettings) -> None:
    """Half a surrogate pair can't be a header, and must not stop the channel for ever."""
    broken = replace(an_event("broken"), subject="\ud800")
    async with KafkaLog.open(settings, SystemClock()) as log:
        with pytest.raises(EventsRefused) as raised:
            await append_to(log, an_append(an_event("a"), broken, an_event("b")))

        assert [event.id for event in raised.value.events] == ["broken"]
        await append_to(log, an_append(an_event("a"), an_event("b")))


async def test_dead_letter_larger_than_a_broker_takes_is_kept_whole(settings: KafkaLogSettings) -> None:
    """Raw bytes of any size survive, in parts."""
    letter = replace(a_dead_letter("x"), raw=shake_128(b"x").digest(3_000_000))
    async with KafkaLog.open(settings, SystemClock()) as log:
        await append_to(log, replace(an_append(), set_aside=[letter]))

    assert read_dead_letters(settings.bootstrap_servers, Names.of(settings).dead_letters) == [letter]


async def test_missing_topics_are_named_where_none_may_be_made(kafka: str) -> None:
    """In a locked-down cluster the operator learns what to create, and how."""
    settings = own_settings(kafka, create_topics=False)

    with pytest.raises(LogMisconfigured, match=rf"{settings.prefix}\.checkpoints .*cleanup\.policy=compact"):
        async with KafkaLog.open(settings, SystemClock()):
            pass


async def test_topic_of_a_new_event_type_is_named_and_stops_only_its_channel(kafka: str) -> None:
    """The other channels of a locked-down cluster go on."""
    settings = own_settings(kafka, checkpoint_partitions=1)
    async with KafkaLog.open(settings, SystemClock()) as log:
        await append_to(log, an_append(an_event("known"), at=1))
    locked = settings.model_copy(update={"create_topics": False})
    async with KafkaLog.open(locked, SystemClock()) as log:
        await log.checkpoint(CHANGES)
        new = append_to(
            log, an_append(an_event("new", what="salesforce.event.New__e"), at=1, channel=_ORDERS)
        )
        known = append_to(log, an_append(an_event("known"), at=2))
        refused, written = await asyncio.gather(new, known, return_exceptions=True)

    assert isinstance(refused, LogMisconfigured)
    assert "event.New__e" in str(refused)
    assert written is None


async def test_other_number_of_checkpoint_partitions_is_refused(kafka: str) -> None:
    """Channels were placed by the number: another one would look for them in the wrong place."""
    settings = own_settings(kafka, checkpoint_partitions=3)
    async with KafkaLog.open(settings, SystemClock()):
        pass

    with pytest.raises(LogMisconfigured, match="checkpoint_partitions to 3"):
        async with KafkaLog.open(settings.model_copy(update={"checkpoint_partitions": 4}), SystemClock()):
            pass


async def test_checkpoints_that_the_broker_would_delete_are_refused(kafka: str) -> None:
    """A topic made by hand, or by a broker's own defaults, loses checkpoints after a week."""
    settings = own_settings(kafka)
    make_topic(kafka, Names.of(settings).checkpoints, partitions=settings.checkpoint_partitions)

    with pytest.raises(LogMisconfigured, match=r"cleanup\.policy=delete"):
        async with KafkaLog.open(settings, SystemClock()):
            pass
