"""Appends as Kafka records."""

from contextlib import suppress
from dataclasses import replace

import orjson
import pytest

from streamer.errors import EventsRefused
from streamer.events import Channel, Event
from streamer.log.kafka.append.encoder import AppendEncoder, AppendRequest, Checkpoints
from streamer.log.kafka.append.growing_append import KafkaAppend, SchemaWaits
from streamer.log.kafka.cluster.clients import Clients
from streamer.log.kafka.cluster.producer import ProducerRecord, Tombstone, content
from streamer.log.kafka.schemas.codecs import SchemaReaders
from streamer.settings import KafkaLogSettings
from tests.contracts.values import CHANGES, ORG, Append, a_dead_letter, a_hole, an_append, an_event

_SURROGATE = "\ud800"


@pytest.fixture
def encoder() -> AppendEncoder:
    """An encoder that needs no broker."""
    settings = KafkaLogSettings(bootstrap_servers="localhost:1", options={"message.max.bytes": 100_000})
    clients = Clients(settings=settings)
    return AppendEncoder(clients, Checkpoints(clients))


def test_group_keeps_the_order_and_ends_with_one_checkpoint_a_channel(encoder: AppendEncoder) -> None:
    """A checkpoint never stands before what it covers, and only the last one of a channel is written."""
    other = Channel(org=ORG, path="/event/Order_Placed__e")
    appends = [an_append(an_event("a"), at=1), an_append(an_event("b"), at=2), an_append(channel=other)]

    records = encoder.group([encoded(encoder, append) for append in appends])

    assert [record.key for record in records[:2]] == [b"a", b"b"]
    assert [record.key for record in records[2:]] == [str(CHANGES).encode(), str(other).encode()]
    assert isinstance(records[2], ProducerRecord)
    assert b'"replay_id":"2"' in records[2].value


def test_redriven_letters_are_removed_before_others_are_written(encoder: AppendEncoder) -> None:
    """An event that is refused again has the same id."""
    append = replace(an_append(an_event("a")), set_aside=[a_dead_letter("x")], redriven=["x"])

    events, *others, checkpoint = encoder.group([encoded(encoder, append)])

    assert (events.key, checkpoint.key) == (b"a", str(CHANGES).encode())
    kinds = [type(record) for record in others if record.key == b"x#0"]
    assert kinds == [Tombstone, ProducerRecord]


def test_dead_letters_and_holes_go_with_their_append(encoder: AppendEncoder) -> None:
    """All of an append is in the records of its transaction."""
    append = replace(an_append(), set_aside=[a_dead_letter("x")], continuity=[a_hole()])

    topics = [record.topic for record in encoded(encoder, append).beside]

    assert topics == ["streamer.dead-letters", "streamer.continuity"]


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (an_event("bad", data={"Name": _SURROGATE}), "can't be written as JSON"),
        (replace(an_event("bad"), key=_SURROGATE), "not valid Unicode"),
        (an_event("bad", data={"Name": "x" * 100_000}), "at most"),
    ],
)
def test_what_can_never_be_written_is_refused_by_name(encoder: AppendEncoder, bad: Event, why: str) -> None:
    """No transaction begins for an event that would spoil it."""
    append = an_append(an_event("a"), bad, an_event("b"))

    with pytest.raises(EventsRefused, match=why) as raised:
        encoded(encoder, append)

    assert raised.value.events == (bad,)


def test_others_are_added_beside_what_is_refused(encoder: AppendEncoder) -> None:
    """The append goes on without the event that spoils it."""
    growing = KafkaAppend(encoder, no_writer, SchemaWaits())
    with pytest.raises(EventsRefused):
        growing.add([an_event("a"), an_event("bad", data={"Name": "x" * 100_000}), an_event("b")])

    assert growing.size == 2 * len(orjson.dumps(an_event("a").data))


def test_refused_records_are_dropped_and_come_back_as_events(encoder: AppendEncoder) -> None:
    """The broker names records by their content; the caller gets the events, which nobody has kept."""
    events = [an_event(name, data={"n": name}) for name in "abc"]
    append = encoded(encoder, an_append(*events))

    assert append.drop({content(append.events[1])}, SchemaReaders()) == [events[1]]
    assert [record.key for record in append.events] == [b"a", b"c"]


def test_channel_keeps_its_partition() -> None:
    """Where a checkpoint is kept is part of what is stored: it may never change."""
    settings = KafkaLogSettings(bootstrap_servers="localhost:1")
    checkpoints = Checkpoints(Clients(settings=settings))
    paths = ("/data/ChangeEvents", "/event/Order_Placed__e", "/data/AccountChangeEvent")

    assert [checkpoints.partition_of(Channel(org=ORG, path=path)) for path in paths] == [3, 0, 5]


def encoded(encoder: AppendEncoder, append: Append) -> AppendRequest:
    """Return what the writer is given of an append."""
    given: list[AppendRequest] = []

    async def write(complete: AppendRequest) -> None:
        given.append(complete)

    growing = KafkaAppend(encoder, write, SchemaWaits())
    growing.add(append.events)
    committing = growing.commit(
        append.checkpoint,
        set_aside=append.set_aside,
        continuity=append.continuity,
        redriven=append.redriven,
    )
    with suppress(StopIteration):
        committing.send(None)
    return given[0]


async def no_writer(_: AppendRequest) -> None:
    """Fail the test."""
    raise AssertionError
