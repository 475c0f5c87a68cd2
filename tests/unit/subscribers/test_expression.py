"""Expressions over a delivery."""

from dataclasses import replace

import jmespath
import pytest

from subscribers.expression import Query
from tests.deliveries import delivery


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
