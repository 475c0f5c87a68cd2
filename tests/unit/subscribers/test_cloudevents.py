"""Deliveries as CloudEvents, held against the project's own SDK."""

from typing import Any

import orjson
import pytest
from cloudevents.v1.http import from_http

from streamer.events import Reject, Skip
from subscribers.cloudevents import Format, Message, message
from tests.deliveries import ORDER, delivery, event


def sent(mode: Format, **more: Any) -> Message:
    """Return a delivery as a message."""
    made = message(delivery(**more), mode)
    assert isinstance(made, Message)
    return made


@pytest.mark.parametrize("mode", ["binary", "structured"])
def test_another_library_reads_the_event(mode: Format) -> None:
    """Both modes tell the same."""
    made = sent(mode, body={"total": 12.5})
    headers = {"content-type": made.content_type, **{f"ce-{k}": v for k, v in made.attributes.items()}}

    read = from_http(headers, made.content)

    assert read["id"] == f"tx:1:{ORDER}"
    assert read["type"] == "salesforce.cdc.Order.created"
    assert read["subject"] == ORDER
    assert read["sfchannel"] == "/data/ChangeEvents"
    assert read.data == {"total": 12.5}


def test_without_a_body_the_data_are_those_of_the_event() -> None:
    """Nothing needs to be configured."""
    assert orjson.loads(sent("binary").content) == event().data


def test_event_without_a_record_has_no_subject() -> None:
    """An attribute can't be null."""
    made = sent("structured", of=event("salesforce.event.Order_Placed__e", subject=None))

    assert "subject" not in orjson.loads(made.content)


def test_text_is_sent_as_it_is() -> None:
    """In UTF-8, with its media type."""
    made = sent("text", text="Grüße")

    assert (made.content, made.content_type) == ("Grüße".encode(), "text/plain; charset=utf-8")


@pytest.mark.parametrize(
    ("mode", "more", "kind"),
    [
        ("binary", {"body": {}}, Skip),
        ("structured", {"body": {}}, Skip),
        ("text", {"text": " "}, Skip),
        ("text", {}, Reject),
        ("text", {"text": "\ud800"}, Reject),
        ("binary", {"body": 2**70}, Reject),
        ("structured", {"body": {"city": "\ud800"}}, Reject),
    ],
)
def test_what_can_not_be_sent_has_an_outcome(mode: Format, more: dict[str, Any], kind: type) -> None:
    """And the target is not asked."""
    outcome = message(delivery(**more), mode)

    assert type(outcome) is kind
    assert isinstance(outcome, Skip | Reject)
    assert not outcome.sent
