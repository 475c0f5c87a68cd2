"""Events as Kafka records, held against the `cloudevents` package."""

from dataclasses import replace
from typing import Literal

import orjson
import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event

from streamer.errors import UnreadableEvent
from streamer.log.kafka.cluster.names import Names
from streamer.log.kafka.cluster.producer import Headers, ProducerRecord
from streamer.log.kafka.cluster.topic_naming import TopicNaming
from streamer.log.kafka.records.events import EventEncoder, decode, event_type
from tests.contracts.values import an_event

STATES = "salesforce.state.{name}"

Mode = Literal["binary", "structured"]

_NAMES = Names(
    prefix="streamer",
    naming=TopicNaming(template="salesforce.{kind}.{name}"),
    state_template="salesforce.state.{name}",
)
_NOW_MS = 2_000_000_000_000
_MODES: tuple[Mode, ...] = ("binary", "structured")


def encoded(mode: Mode) -> ProducerRecord:
    """Return a record of an event with a subject."""
    return EventEncoder(_NAMES, mode).encode(an_event("e1", key="001A"), _NOW_MS)


def read(record: ProducerRecord) -> Headers:
    """Return the headers as a consumer gets them."""
    return [(name, as_bytes(value or b"")) for name, value in record.headers.items()]


def as_bytes(value: str | bytes) -> bytes:
    """Return a header as librdkafka sends it."""
    return value if isinstance(value, bytes) else value.encode()


@pytest.mark.parametrize("mode", _MODES)
def test_event_is_decoded_as_it_was_encoded(mode: Mode) -> None:
    """No attribute is lost in either mode, and none is made up for an event without a subject."""
    for event in (an_event("e1", key="001A"), replace(an_event("ü"), subject=None, data={"n": None})):
        record = EventEncoder(_NAMES, mode).encode(event, _NOW_MS)

        assert decode(record.key, record.value, read(record)) == event


@pytest.mark.parametrize("mode", _MODES)
def test_type_is_told_without_the_value(mode: Mode) -> None:
    """A reader can skip unwanted events by a header alone."""
    assert event_type(read(encoded(mode))) == "salesforce.cdc.Account.updated"


@pytest.mark.parametrize("mode", _MODES)
def test_traced_event_has_its_trace_in_a_header_and_an_attribute(mode: Mode) -> None:
    """Instrumented consumers read the one, consumers of CloudEvents the other, and nothing else changes."""
    event = an_event("e1", key="001A")
    record = EventEncoder(_NAMES, mode, lambda event: f"00-{event.id}").encode(event, _NOW_MS)

    assert dict(read(record))["traceparent"] == b"00-e1"
    message = KafkaMessage(headers=dict(read(record)), key=record.key, value=record.value)
    assert from_kafka_event(message).get_attributes()["traceparent"] == "00-e1"
    assert decode(record.key, record.value, read(record)) == event
    plain = encoded(mode)
    assert "traceparent" not in {**plain.headers, **orjson.loads(plain.value)}


@pytest.mark.parametrize("mode", _MODES)
def test_cloudevents_package_reads_every_attribute(mode: Mode) -> None:
    """The official package finds a valid CloudEvent, with our extensions."""
    record, event = encoded(mode), an_event("e1", key="001A")
    message = KafkaMessage(headers=dict(read(record)), key=record.key, value=record.value)

    found = from_kafka_event(message)

    attributes = found.get_attributes()
    assert [attributes[name] for name in ("id", "source", "type", "subject")] == [
        *(event.id, event.source, event.type, event.subject)
    ]
    assert attributes["time"].isoformat() == "2025-01-01T00:00:00+00:00"
    assert attributes["sfchannel"] == "/data/ChangeEvents"
    assert attributes["partitionkey"] == "001A"
    assert found.get_data() == event.data


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (b"{}", None),
        (b"{", [("ce_id", b"1"), ("ce_type", b"t")]),
        (None, [("content-type", b"application/cloudevents+json")]),
        (b"[]", [("content-type", b"application/cloudevents+json")]),
        (b'{"id": 1}', [("content-type", b"application/cloudevents+json; charset=UTF-8")]),
    ],
)
def test_foreign_record_is_unreadable_and_breaks_nothing(
    value: bytes | None, headers: Headers | None
) -> None:
    """A foreign record in our topic is set aside rather than believed."""
    with pytest.raises(UnreadableEvent):
        decode(b"key", value, headers)


def test_timestamp_is_the_commit_time_and_never_in_the_future() -> None:
    """Subscribers start at a time by it, and brokers refuse the future."""
    encoder = EventEncoder(_NAMES, "binary")

    past = encoder.encode(an_event(1, time="2025-01-01T00:00:00.250Z"), _NOW_MS)
    future = encoder.encode(an_event(1, time="2999-01-01T00:00:00.000Z"), _NOW_MS)

    assert past.timestamp_ms == 1735689600250
    assert future.timestamp_ms == _NOW_MS
