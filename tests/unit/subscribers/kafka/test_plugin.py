"""The Kafka plugin without a broker: settings, records, and what errors mean."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import orjson
import pytest
from confluent_kafka import KafkaError
from pydantic import ValidationError

from streamer.clock import TurnedClock
from streamer.errors import ConfigurationError
from streamer.events import Content, Delivered, Delivery, FailureClass, Hold, Outcome, Reject, Retry, Skip
from streamer.ports import Preview
from subscribers.kafka import Kafka
from subscribers.kafka.outcomes import outcome_of
from subscribers.kafka.producer import DeliveryReport
from subscribers.kafka.records import Record, Records
from subscribers.kafka.settings import KafkaSettings
from tests.deliveries import ORDER, context, delivery, event

DELETED = delivery(event("salesforce.cdc.Order.deleted"))


def settings(**given: Any) -> KafkaSettings:
    """Return settings of a broker on this machine."""
    return KafkaSettings.model_validate({"bootstrap_servers": "localhost:9092", "topic": "orders"} | given)


def record(of: Delivery, **given: Any) -> Record:
    """Return the record of a delivery that makes one."""
    made = Records(settings(**given)).of(of)
    assert isinstance(made, Record)
    return made


def outcome(of: Delivery, **given: Any) -> Skip | Reject:
    """Return the outcome of a delivery that makes no record."""
    made = Records(settings(**given)).of(of)
    assert not isinstance(made, Record)
    return made


def test_record_has_the_key_and_the_data_of_its_event() -> None:
    """Without further settings, it is what the log itself would write."""
    made = record(delivery())

    assert (made.topic, made.key) == ("orders", ORDER.encode())
    assert orjson.loads(made.value or b"") == event().data
    assert made.headers["ce_id"] == event().id.encode()
    assert made.headers["ce_type"] == b"salesforce.cdc.Order.created"
    assert made.headers["content-type"] == b"application/json"


def test_body_is_the_value() -> None:
    """In the shape that the subscriber gives it."""
    assert orjson.loads(record(delivery(body={"total": 12.5})).value or b"") == {"total": 12.5}


@pytest.mark.parametrize("mode", ["binary", "structured", "plain"])
def test_number_keeps_all_of_its_digits(mode: str) -> None:
    """As functions of `body` make it: no float has so many."""
    of = delivery(body={"total": Decimal("0.12345678901234567890")})

    made = record(of, content_mode=mode, headers={"total": "body.total"})
    assert b":0.12345678901234567890}" in (made.value or b"")
    assert made.headers["total"] == b"0.12345678901234567890"


def test_content_is_the_value() -> None:
    """It replaces the body, with its media type."""
    made = record(replace(delivery(), content=Content(data=b"<a/>", type="application/xml")))

    assert (made.value, made.headers["content-type"]) == (b"<a/>", b"application/xml")


def test_preview_shows_the_record() -> None:
    """As `streamer render` prints it, without a broker."""
    plugin = Kafka(settings(deletions="tombstone"), context(TurnedClock()))

    shown, deleted = (plugin.preview(each) for each in (delivery(body={"a": 1}), DELETED))
    assert isinstance(shown, Preview)
    assert isinstance(deleted, Preview)
    assert (shown.request, shown.content) == (f"WRITE orders (key {ORDER})", b'{"a":1}')
    assert shown.headers["ce_id"] == event().id
    assert (deleted.request, deleted.content) == (f"WRITE orders (key {ORDER}, a tombstone)", b"")
    assert isinstance(plugin.preview(delivery(body={})), Skip)


def test_structured_record_is_one_document() -> None:
    """With the body as its data."""
    made = record(delivery(body=[1]), content_mode="structured")

    assert made.headers == {"content-type": b"application/cloudevents+json"}
    document = orjson.loads(made.value or b"")
    assert (document["id"], document["subject"], document["data"]) == (event().id, ORDER, [1])


def test_headers_of_its_own_are_found_in_the_event() -> None:
    """A field that the event does not carry makes none."""
    headers = {"entity": "data.entity", "total": "data.fields.TotalAmount", "none": "data.fields.Name"}
    made = record(delivery(), content_mode="plain", headers=headers)

    assert made.headers == {"content-type": b"application/json", "entity": b"Order", "total": b"12.5"}


def test_topic_is_made_of_fields() -> None:
    """Characters that a topic's name can't have become an underscore, as in the log."""
    of = delivery(event(data={"entity": "Order", "fields": {"Region__c": "North & West"}}))

    for topic in ("crm.{data.entity}.{data.fields.Region__c}", "crm.{entity}.{data.fields.Region__c}"):
        assert record(of, topic=topic).topic == "crm.Order.North___West"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"topic": "crm.{data.fields.Region__c}"},
            "topic: the event has no text and no whole number for {data.fields.Region__c}",
        ),
        ({"topic": "{data.fields.Long}" + "x" * 100}, "a name that Kafka does not accept"),
        ({"key": "data.fields.Region__c"}, "gives no key for this event"),
        ({"key": "data.fields"}, "gives no key for this event"),
    ],
)
def test_event_that_makes_no_record_is_rejected(given: dict[str, Any], words: str) -> None:
    """Nothing was sent, and the operator reads which setting it is."""
    made = outcome(delivery(event(data={"fields": {"Long": "y" * 200}})), **given)

    assert isinstance(made, Reject)
    assert words in made.reason
    assert not made.sent


@pytest.mark.parametrize(
    "odd",
    [delivery(body={"a": 2**70}), delivery(body={"a": "\ud800"}), delivery(replace(event(), key="\ud800"))],
)
def test_event_that_no_bytes_can_hold_is_rejected(odd: Delivery) -> None:
    """Whatever an event or a mapping holds, nothing is raised."""
    assert isinstance(outcome(odd), Reject)


def test_key_is_found_or_left_out() -> None:
    """A whole number is a key, and `null` means none."""
    numbered = delivery(event(data={"fields": {"Number": 7}}))

    assert record(numbered, key="data.fields.Number").key == b"7"
    assert record(numbered, key=None).key is None


def test_deletion_is_what_the_settings_say() -> None:
    """A tombstone needs no body, and keeps the event's attributes."""
    assert record(DELETED).value
    tombstone = record(replace(DELETED, body={}), deletions="tombstone")
    assert (tombstone.key, tombstone.value) == (ORDER.encode(), None)
    assert tombstone.headers["ce_type"] == b"salesforce.cdc.Order.deleted"
    assert isinstance(outcome(DELETED, deletions="skip"), Skip)


def test_event_that_carries_nothing_of_the_body_is_skipped() -> None:
    """An empty record would replace the one that there is."""
    assert isinstance(outcome(delivery(body={})), Skip)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"topic": "crm orders"}, "must consist of letters, digits"),
        ({"topic": "crm.{join('.', x)}"}, "is not a placeholder"),
        ({"topic": "crm.{region}"}, "is not a placeholder"),
        ({"topic": ""}, "at least 1 character"),
        ({"bootstrap_servers": "ann:secret@kafka:9092"}, "must not contain a user"),
        ({"bootstrap_servers": "localhost:9092,kafka.acme.com:9092"}, "on the way to kafka.acme.com could"),
        ({"key": None, "deletions": "tombstone"}, "needs a key"),
        ({"headers": {"CE_id": "id"}}, "content_mode sets"),
        ({"options": {"plugin.library.paths": "/tmp/x.so"}}, "must not load code"),
        ({"options": {"acks": 1}}, "depend on this option"),
        ({"options": {"sasl.oauthbearer.config": "x"}}, "set security instead"),
        ({"options": {"message.timeout.ms": 1}}, "set timeout_s instead"),
    ],
)
def test_settings_that_break_a_promise_are_refused(given: dict[str, Any], words: str) -> None:
    """Each by a sentence."""
    with pytest.raises(ValidationError, match=words):
        settings(**given)


def test_option_that_librdkafka_does_not_know_is_a_mistake_of_the_configuration() -> None:
    """It is found before anything is delivered."""
    with pytest.raises(ConfigurationError, match=r"linger\.sm"):
        Kafka(settings(options={"linger.sm": 5}), context(TurnedClock()))


FIXED: list[tuple[DeliveryReport, type[Outcome], FailureClass]] = [
    (DeliveryReport(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)), Reject, FailureClass.REJECTED),
    (DeliveryReport(KafkaError(KafkaError.INVALID_RECORD)), Reject, FailureClass.REJECTED),
    (DeliveryReport(KafkaError(KafkaError.TOPIC_EXCEPTION)), Reject, FailureClass.REJECTED),
    (DeliveryReport(KafkaError(KafkaError._UNKNOWN_TOPIC)), Hold, FailureClass.OTHER),
    (DeliveryReport(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)), Hold, FailureClass.OTHER),
    (
        DeliveryReport(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)),
        Hold,
        FailureClass.REFUSED_CREDENTIALS,
    ),
    (
        DeliveryReport(
            KafkaError(KafkaError._FATAL), background=KafkaError(KafkaError.CLUSTER_AUTHORIZATION_FAILED)
        ),
        Hold,
        FailureClass.REFUSED_CREDENTIALS,
    ),
    (DeliveryReport(KafkaError(KafkaError.NOT_ENOUGH_REPLICAS)), Retry, FailureClass.OTHER),
    (DeliveryReport(KafkaError(KafkaError._MSG_TIMED_OUT)), Retry, FailureClass.TIMEOUT),
    (
        DeliveryReport(
            KafkaError(KafkaError._MSG_TIMED_OUT), background=KafkaError(KafkaError._TRANSPORT, "refused")
        ),
        Retry,
        FailureClass.CONNECTION,
    ),
    (
        DeliveryReport(
            KafkaError(KafkaError._MSG_TIMED_OUT), background=KafkaError(KafkaError._AUTHENTICATION)
        ),
        Hold,
        FailureClass.REFUSED_CREDENTIALS,
    ),
    (
        DeliveryReport(KafkaError(KafkaError._MSG_TIMED_OUT), background=KafkaError(KafkaError._SSL)),
        Hold,
        FailureClass.REFUSED_CREDENTIALS,
    ),
]


@pytest.mark.parametrize(("report", "kind", "failure"), FIXED)
def test_error_of_kafka_has_the_outcome_of_its_kind(
    report: DeliveryReport, kind: type, failure: FailureClass
) -> None:
    """A hopeless error makes a dead letter, and one that an operator must mend holds the target."""
    found = outcome_of(report, record(delivery()), has_fixed_topic=True)

    assert type(found) is kind
    assert not isinstance(found, Delivered | Skip)
    assert found.failure is failure
    assert not isinstance(found, Hold) or found.alert


@pytest.mark.parametrize("code", [KafkaError._UNKNOWN_TOPIC, KafkaError.TOPIC_AUTHORIZATION_FAILED])
def test_topic_of_several_does_not_hold_the_others(code: int) -> None:
    """Its events wait for their own next attempts."""
    found = outcome_of(DeliveryReport(KafkaError(code)), record(delivery()), has_fixed_topic=False)

    assert isinstance(found, Retry)


def test_record_that_only_the_client_refused_says_nothing_about_the_brokers() -> None:
    """An open breaker must not close by it."""
    report = DeliveryReport(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE), is_local=True)

    found = outcome_of(report, record(delivery()), has_fixed_topic=True)
    assert isinstance(found, Reject)
    assert not found.sent
