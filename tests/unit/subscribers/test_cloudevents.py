"""Deliveries as CloudEvents, held against the project's own SDK."""

from dataclasses import replace
from typing import Any

import orjson
import pytest
from cloudevents.v1.http import from_http

from streamer.cloud_events import ContentMode, Message, emptied, message
from streamer.events import Content, Reject, Skip
from tests.deliveries import ORDER, delivery, event


def sent(mode: ContentMode, **more: Any) -> Message:
    """Return a delivery as a message."""
    made = message(delivery(**more), mode)
    assert isinstance(made, Message)
    return made


@pytest.mark.parametrize("mode", ["binary", "structured"])
def test_another_library_reads_the_event(mode: ContentMode) -> None:
    """Both modes tell the same."""
    made = sent(mode, body={"total": 12.5})
    headers = {"content-type": made.content.type, **{f"ce-{k}": v for k, v in made.attributes.items()}}

    read = from_http(headers, made.content.data)

    assert read["id"] == f"tx:1:{ORDER}"
    assert read["type"] == "salesforce.cdc.Order.created"
    assert read["subject"] == ORDER
    assert read["sfchannel"] == "/data/ChangeEvents"
    assert read.data == {"total": 12.5}


def test_without_a_body_the_data_are_those_of_the_event() -> None:
    """Nothing needs to be configured."""
    assert orjson.loads(sent("binary").content.data) == event().data


def test_event_without_a_record_has_no_subject() -> None:
    """An attribute can't be null."""
    made = sent("structured", of=event("salesforce.event.Order_Placed__e", subject=None))

    assert "subject" not in orjson.loads(made.content.data)


@pytest.mark.parametrize("mode", ["binary", "plain"])
def test_content_is_sent_as_it_is(mode: ContentMode) -> None:
    """With its media type."""
    xml = Content(data=b"<a>\xff</a>", type="application/xml")

    made = message(replace(delivery(), content=xml), mode)

    assert isinstance(made, Message)
    assert made.content == xml
    assert bool(made.attributes) == (mode == "binary")


@pytest.mark.parametrize(
    ("data", "member"), [(b"<a/>", {"data": "<a/>"}), (b"\xff", {"data_base64": "/w=="})]
)
def test_content_is_the_data_of_the_document(data: bytes, member: dict[str, str]) -> None:
    """It is text, or base64 for other bytes."""
    made = message(replace(delivery(), content=Content(data=data, type="application/xml")), "structured")

    assert isinstance(made, Message)
    found = orjson.loads(made.content.data)
    assert found["datacontenttype"] == "application/xml"
    assert member.items() <= found.items()


@pytest.mark.parametrize(
    ("mode", "more", "kind"),
    [
        ("binary", {"body": {}}, Skip),
        ("structured", {"body": {}}, Skip),
        ("plain", {"body": {}}, Skip),
        ("binary", {"body": 2**70}, Reject),
        ("structured", {"body": {"city": "\ud800"}}, Reject),
    ],
)
def test_what_can_not_be_sent_has_an_outcome(mode: ContentMode, more: dict[str, Any], kind: type) -> None:
    """And the target is not asked."""
    outcome = message(delivery(**more), mode)

    assert type(outcome) is kind
    assert isinstance(outcome, Skip | Reject)
    assert not outcome.sent


@pytest.mark.parametrize("body", [None, {}, 2**70])
@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("binary", "text/plain"),
        ("structured", "application/cloudevents+json"),
        ("plain", "text/plain"),
    ],
)
def test_emptied_message_needs_no_body(mode: ContentMode, kind: str, body: Any) -> None:
    """It keeps the event's attributes beside the data."""
    made = emptied(delivery(body=body), mode, "text/plain")

    assert made.content == Content(data=b"", type=kind)
    assert made.attributes.get("id") == (f"tx:1:{ORDER}" if mode == "binary" else None)
