"""Expressions over a delivery."""

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
        '"data"."fields"',
        "data.fields.Name || id",
        "length(data.fields)",
        "data.fields.*",
        "@",
    ],
)
def test_path_of_names_finds_what_jmespath_finds(expression: str) -> None:
    """It is looked up without an interpreter, which must not show."""
    sent = delivery(body={"amount": 3})
    event = sent.event
    whole = {
        **{name: getattr(event, name) for name in ("id", "source", "type", "subject", "time", "key", "data")},
        "body": sent.body,
    }

    assert Query(expression).of(sent) == jmespath.search(expression, whole)
