"""Channels are read over the Pub/Sub API into the log."""

from collections.abc import AsyncIterator

import pytest

from streamer.continuity import LetterDecoder
from streamer.errors import MostlyUnreadable
from streamer.eventbus import ConsumerEvent, ProducerEvent, ReplayPreset
from streamer.events import Start
from streamer.normalise import normaliser_for
from tests.pubsub import World, pubsub_world
from tests.pubsub_server import ORDERS, REFUNDS, SCHEMA, order, replay_id, uuid
from tests.waiting import limited


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A scripted server, and a source that reads it."""
    async with pubsub_world() as each:
        yield each


async def test_retained_events_come_first(world: World) -> None:
    """From the earliest on, and then what is published, in order."""
    world.publish(3)
    world.read()
    await world.all_read()
    world.publish(2)
    await world.all_read()

    assert world.source.subscribed == {ORDERS}
    assert world.losses.handshakes == 1


async def test_event_is_known_by_its_uuid_and_its_position(world: World) -> None:
    """The replay id stays as it was sent."""
    world.publish(2)
    world.read()
    await world.all_read()

    last = world.log.events[-1]
    assert (last.id, last.replay_id, last.type) == (uuid(1), replay_id(1), "salesforce.event.Order_Placed__e")
    assert last.time == "2025-01-01T00:00:00.000Z"
    checkpoint = world.log.checkpoints[world.channel()]
    assert (checkpoint.replay_id, checkpoint.open_replay_id) == (replay_id(0), replay_id(1))


async def test_calls_carry_token_instance_and_org(world: World) -> None:
    """Salesforce takes no call without them."""
    world.read()
    await world.until(lambda: world.server.streams)

    metadata = world.server.streams[0].metadata
    assert metadata["instanceurl"] == world.sandbox.url
    assert metadata["tenantid"] == world.channel().org
    assert metadata["accesstoken"]


async def test_channels_share_a_connection(world: World) -> None:
    """Salesforce limits connections, not streams; each channel has its own position."""
    world.publish(2)
    world.publish(3, REFUNDS)
    world.read()
    world.read(REFUNDS)
    await world.all_read(ORDERS, REFUNDS)

    assert len({stream.peer for stream in world.server.streams}) == 1
    assert world.server.schema_requests == [SCHEMA]


async def test_new_events_only_begin_with_the_subscription(world: World) -> None:
    """Its position is in the log at once, so that a restart misses nothing."""
    world.server.publish(order(100, at=0))
    world.read(start=Start.LATEST)
    await world.until(lambda: world.log.checkpoints)

    assert world.server.streams[0].first.replay_preset == ReplayPreset.LATEST
    assert world.log.checkpoints[world.channel()].replay_id is None
    world.publish(1)
    await world.all_read()


async def test_channel_that_began_with_new_events_goes_on_from_its_beginning(world: World) -> None:
    """A stream that ends before its first event is followed by one that misses none."""
    world.server.publish(order(100, at=world.clock.now() - 3600))
    world.read(start=Start.LATEST)
    await world.until(lambda: world.log.checkpoints)
    world.server.is_silent = True
    world.publish(2)
    await world.stop()
    world.server.is_silent = False
    world.read()

    await world.all_read()
    assert world.server.streams[-1].first.replay_preset == ReplayPreset.EARLIEST


async def test_keep_alive_moves_the_position(world: World) -> None:
    """An id that is never used again would expire, and the next stream with it."""
    world.publish(1)
    world.read()
    await world.all_read()
    world.server.keep_alive(replay_id(50))
    await world.until(lambda: world.log.checkpoints[world.channel()].replay_id == replay_id(50))
    await world.stop()
    world.read()
    await world.until(lambda: len(world.server.streams) == 2)

    again = world.server.streams[-1].first
    assert (again.replay_preset, again.replay_id) == (ReplayPreset.CUSTOM, replay_id(50))


async def test_restart_resumes_from_the_log(world: World) -> None:
    """Only the event at the open position is sent again, and left out."""
    world.publish(5)
    world.read()
    await world.all_read()
    await world.stop()
    world.publish(5)
    world.read()
    await world.all_read()

    assert world.server.streams[-1].first.replay_id == replay_id(3)


async def test_credit_waits_for_the_log(world: World) -> None:
    """While the log is busy, Salesforce sends what it was asked for, and no more."""
    world.log.gate.clear()
    world.server.most_events = 10
    world.publish(500)
    world.read()
    await world.until(lambda: world.gated.batches_seen and not world.gated.batches_seen[-1].more)
    await world.clock.turn(30)

    [stream] = world.server.streams
    taken = sum(len(batch.messages) for batch in world.gated.batches_seen)
    assert stream.sent <= taken + 100
    world.log.gate.set()
    await world.all_read()
    assert stream.most_credit <= 100


async def test_credit_is_kept_topped_up(world: World) -> None:
    """A stream without credit is closed after a minute; one request for each event would be many."""
    world.read()
    for _ in range(120):
        world.publish(1)
        await world.all_read(turning=0)

    [stream] = world.server.streams
    assert stream.credit > 40
    assert len(stream.requests) <= 4


async def test_events_that_wait_for_the_log_are_committed_together(world: World) -> None:
    """Those that arrive while it is busy."""
    world.server.most_events = 7
    world.publish(1)
    world.log.gate.clear()
    world.read()
    await world.until(lambda: world.gated.batches_seen)
    world.publish(42)
    await world.until(lambda: world.losses.events == 43)
    world.log.gate.set()
    await world.all_read()

    assert world.log.commits == [1, 42]


async def test_backlog_drains_in_large_transactions(world: World) -> None:
    """Each holds the events of many answers."""
    world.publish(5_000)
    world.read()
    await world.all_read(turning=0.001)

    assert max(world.log.commits) >= 1_000


async def test_next_answer_is_asked_for_before_the_last_one_is_decoded(world: World) -> None:
    """Salesforce makes it ready meanwhile, and more than that is not asked for."""
    world.server.schemas_away.add(SCHEMA)
    world.publish(500)
    world.read()
    await world.until(lambda: world.losses.events == 200)
    await world.clock.turn(5)

    assert (world.losses.events, world.log.events) == (200, [])
    world.server.schemas_away.clear()
    await world.all_read()


async def test_event_that_cannot_be_decoded_is_set_aside(world: World) -> None:
    """With its bytes, its schema and its position, and between its neighbours."""
    world.publish(1)
    garbage = ProducerEvent(id="x", schema_id=SCHEMA, payload=b"\xff\xfe garbage")
    world.server.publish(ConsumerEvent(event=garbage, replay_id=b"\0\0\0\0\0\0\4\1"))
    world.publish(2)
    world.read()
    await world.all_read()

    [letter] = world.log.letters
    assert (letter.raw, letter.replay_id) == (b"\xff\xfe garbage", b"\0\0\0\0\0\0\4\1")
    assert SCHEMA in letter.error


async def test_last_event_that_cannot_be_decoded_is_passed(world: World) -> None:
    """The position is behind it, so it is not read again for ever."""
    world.publish(1)
    garbage = ProducerEvent(id="x", schema_id=SCHEMA, payload=b"\xff")
    world.server.publish(ConsumerEvent(event=garbage, replay_id=replay_id(1)))
    world.read()
    await world.until(lambda: world.log.letters)

    checkpoint = world.log.checkpoints[world.channel()]
    assert (checkpoint.replay_id, checkpoint.open_replay_id) == (replay_id(0), replay_id(1))


@pytest.mark.parametrize("schema_id", ["gone-for-good", "", "x" * 5000])
async def test_events_of_an_unknown_schema_are_set_aside(world: World, schema_id: str) -> None:
    """Salesforce is asked for it once more, and not again and again."""
    world.publish(20)
    for number in (1, 2):
        event = ProducerEvent(id="x", schema_id=schema_id, payload=b"\2")
        world.server.publish(ConsumerEvent(event=event, replay_id=replay_id(100 + number)))
    world.read()
    await world.until(lambda: len(world.log.letters) == 2)
    await world.all_read()

    assert world.server.schema_requests.count(schema_id) <= 2
    assert all(schema_id[:50] in letter.error for letter in world.log.letters)


async def test_schema_of_garbage_sets_its_events_aside(world: World) -> None:
    """Their letters have all that is needed to decode them once it can be read: they are the same events."""
    readable, world.server.schemas["broken"] = world.server.schemas[SCHEMA], '{"type": "recor'
    world.publish(20)
    payload = order(7, at=0).event.payload
    event = ProducerEvent(id=uuid(100), schema_id="broken", payload=payload)
    world.server.publish(ConsumerEvent(event=event, replay_id=replay_id(100)))
    world.read()
    await world.until(lambda: world.log.letters)
    await world.all_read()

    [letter] = world.log.letters
    assert (letter.raw, letter.schema_id, letter.event_uuid) == (payload, "broken", uuid(100))
    world.server.schemas["broken"] = readable
    # So long is an unusable schema remembered.
    await world.clock.turn(61)
    decoder = LetterDecoder(
        channel=world.channel(),
        normalise=normaliser_for(world.channel()),
        unsealed=lambda kept: kept.raw,
        clock=world.clock,
        payloads=world.source,
    )
    [redriven] = await decoder.events(letter)
    assert (redriven.id, redriven.replay_id) == (uuid(100), replay_id(100))
    assert redriven.data["fields"]["N__c"] == 7.0


async def test_channel_of_events_that_cannot_be_decoded_stops(world: World) -> None:
    """That is a broken schema, and not a poison event."""
    garbage = ProducerEvent(id="x", schema_id=SCHEMA, payload=b"\xff")
    world.server.publish(*(ConsumerEvent(event=garbage, replay_id=replay_id(n)) for n in range(30)))
    world.read()

    assert isinstance(await world.refused(), MostlyUnreadable)


async def test_replay_id_of_no_sensible_length_is_no_position(world: World) -> None:
    """The log would have to keep it in every checkpoint."""
    world.publish(20)
    endless = b"\xff" * 100_000
    whole = order(0, at=0).event
    garbage = ProducerEvent(id="x", schema_id=SCHEMA, payload=b"\xff")
    world.server.publish(*(ConsumerEvent(event=each, replay_id=endless) for each in (whole, garbage)))
    world.read()
    await world.until(lambda: len(world.log.letters) == 2)
    world.server.keep_alive(endless)
    await world.until(lambda: world.log.checkpoints[world.channel()].open_replay_id is None)

    assert [letter.replay_id for letter in world.log.letters] == [None, None]
    assert world.log.checkpoints[world.channel()].replay_id == replay_id(19)


async def test_answer_of_megabytes_is_read(world: World) -> None:
    """Events can have a megabyte each, and gRPC's own limit is four."""
    text = "x" * 900_000
    world.server.publish(*(order(number, at=0, by=text) for number in range(8)))
    world.read()
    await world.until(lambda: len(world.log.events) == 8)

    assert world.losses.reasons == []


async def test_closing_the_iterator_ends_the_stream(world: World) -> None:
    """Salesforce counts streams."""
    world.read()
    await world.until(world.server.live)
    await world.stop()
    await world.until(lambda: not world.server.live())

    assert world.source.subscribed == frozenset()


async def test_channel_has_one_consumer(world: World) -> None:
    """Two would commit each other's positions."""
    world.read()
    await world.until(world.server.live)

    with pytest.raises(RuntimeError, match="already has a consumer"):
        async with limited("the refusal"):
            await anext(world.source.batches(world.channel(), after=Start.LATEST))
