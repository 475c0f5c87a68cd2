"""Expressions over a delivery."""

from dataclasses import replace

import jmespath
import pytest
from pydantic import TypeAdapter, ValidationError

from streamer.clock import TurnedClock
from streamer.events import FailureClass, Reject
from subscribers.expression import Expression, Query
from subscribers.fulfillment import Fulfillment
from subscribers.http import Request
from tests.deliveries import ORDER, context, delivery, event


@pytest.mark.parametrize(
    "expression",
    [
        "id",
        "key",
        "subject",
        "data.fields.TotalAmount",
        "data.fields.TotalAmount.First",
        "data.missing.Name",
        "nowhere",
        "nowhere.at.all",
        "body",
        "body.amount",
        "receipts.invoice.number",
        "receipts.*.number",
        '"data"."fields"',
        "data.fields.Name || id",
        "length(data.fields)",
        "data.fields.*",
        "@",
    ],
)
def test_path_of_names_finds_what_jmespath_finds(expression: str) -> None:
    """It is looked up without an interpreter, which must not show."""
    sent = replace(delivery(body={"amount": 3}), receipts={"invoice": {"number": "I-1"}})
    event = sent.event
    whole = {
        **{name: getattr(event, name) for name in ("id", "source", "type", "subject", "time", "key", "data")},
        "body": sent.body,
        "receipts": sent.receipts,
    }

    assert Query(expression).of(sent) == jmespath.search(expression, whole)


def test_expression_can_call_the_functions_of_a_body() -> None:
    """One language for all that is written in the configuration."""
    assert Query("format('{}-{}', lower(data.entity), subject)").name_of(delivery()) == f"order-{ORDER}"


@pytest.mark.parametrize(
    ("expression", "sentence"),
    [
        (
            "Amount",
            "an event has no member with this name, at column 1; known names: body, data, id, key, receipts",
        ),
        ("account.ERP_Id__c", "an event has no member with this name"),
        ("data.fields.Name || uper(subject)", "JMESPath has no such function, at column 21"),
        ("upper(subject, 'x')", "a function is called wrongly"),
    ],
)
def test_expression_that_can_work_for_no_event_is_refused(expression: str, sentence: str) -> None:
    """When the configuration loads, and without its own words, which can be a secret."""
    with pytest.raises(ValidationError) as error:
        TypeAdapter(Expression).validate_python(expression)

    assert f"fails for every event: {sentence}" in str(error.value)


def test_order_is_not_shipped_when_nobody_knows_whether_it_is_cancelled() -> None:
    """An expression that fails on an event is no `false`."""
    settings = Fulfillment.Settings(url="https://f.acme.com", cancel_when="contains(data.fields.Status, 'x')")
    plugin = Fulfillment(settings, context(TurnedClock()))

    known, unknown = (
        plugin.request(delivery(event(data={"fields": fields}))) for fields in ({"Status": "x"}, {})
    )
    assert isinstance(known, Request)
    assert known.url.path.endswith("/cancel")
    assert isinstance(unknown, Reject)
    assert (unknown.sent, unknown.failure) == (False, FailureClass.BROKEN_ROUTE)
    assert unknown.reason.startswith("cancel_when fails on this event")
