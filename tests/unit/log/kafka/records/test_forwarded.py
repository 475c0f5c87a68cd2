"""Records of forwarded events."""

from dataclasses import replace

import pytest

from streamer.errors import UnreadableEvent
from streamer.events import Event, Forwarded, SubscriberName
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.topic_naming import TopicNaming
from streamer.log.kafka.records.dead_letters import letter_chunk
from streamer.log.kafka.records.forwarded import decode_forwarded, forwarded_records
from streamer.log.records import decode_dead_letter
from tests.contracts.values import an_event

STATES = "salesforce.state.{name}"

NAMES = Names(
    prefix="streamer",
    naming=TopicNaming(template="salesforce.{kind}.{name}"),
    state_template="salesforce.state.{name}",
)
RECEIPTS = {"invoice": {"outcome": "delivered", "answer": {"number": "Ü-1"}}}
SHIPMENT = SubscriberName("shipment")


def forwarded(event: Event) -> Forwarded:
    """Return `event` on its way."""
    return Forwarded(to=SHIPMENT, event=replace(event, receipts=RECEIPTS), at=7.5)


def test_record_holds_the_event_with_its_receipts_under_its_key() -> None:
    """In the topic of the subscriber that is to get it."""
    sent = forwarded(an_event("1", key="001"))
    [record] = forwarded_records(sent, NAMES, limit=10_000)

    assert (record.topic, record.key) == ("streamer.forwarded.shipment", b"001")
    assert decode_forwarded(record.key, record.value, record.read_headers) == sent.event


def test_event_that_no_broker_would_take_becomes_a_dead_letter() -> None:
    """Otherwise the subscriber upstream would try to record its delivery for ever."""
    event = an_event("1", data={"text": "x" * 600_000})
    records = forwarded_records(forwarded(event), NAMES, limit=500_000)

    assert {record.topic for record in records} == {"streamer.dead-letters"}
    assert all(len(record.value) < 550_000 for record in records)
    assert [letter_chunk(record.key) for record in records] == [(b"1:shipment", 0), (b"1:shipment", 1)]
    letter = decode_dead_letter(b"".join(record.value for record in records))
    assert (letter.subscriber, letter.reason, letter.event) == (SHIPMENT, "too_large", event)


def test_foreign_record_is_no_event() -> None:
    """It is set aside with its bytes."""
    with pytest.raises(UnreadableEvent):
        decode_forwarded(b"key", b"not ours", [])
