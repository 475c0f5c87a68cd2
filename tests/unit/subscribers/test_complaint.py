"""A refusal quotes the target's own words."""

from typing import Any

import orjson
import pytest

from streamer.clock import TurnedClock
from streamer.events import Reject
from subscribers.http.answer import Answer, verdict
from subscribers.http.complaint import LONGEST


def reason_of(body: Any) -> str:
    """Return why a request is rejected with `body`."""
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    outcome = verdict(Answer(status=400, body=raw), TurnedClock(), max_hold_s=60)
    assert isinstance(outcome, Reject)
    return outcome.reason.removeprefix("the target answered 400 Bad Request")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (
            {
                "type": "https://acme.com/problems/out-of-credit",
                "title": "No Credit",
                "detail": "Balance is 30 EUR",
            },
            " (out_of_credit): No Credit: Balance is 30 EUR",
        ),
        ({"error": "Amount must be POSITIVE"}, ": Amount must be POSITIVE"),
        ({"error": "invalid_grant", "error_description": "Expired"}, " (invalid_grant): Expired"),
        ({"error": {"code": "amount_missing"}}, " (amount_missing)"),
        ({"error": {"code": "E7", "message": "No such Kunde"}}, " (e7): No such Kunde"),
        ({"message": "Nope\n  at line 3"}, ": Nope at line 3"),
        (
            [{"message": "No such column 'X__c'", "errorCode": "INVALID_FIELD", "fields": ["X__c"]}],
            ": INVALID_FIELD: No such column 'X__c'",
        ),
        ({"errors": [{"detail": "A"}, {"title": "B"}, "C", "D"]}, ": A; B; C"),
        ({"errors": {"Amount": ["too small"]}}, ""),
        ({"title": "One or more errors", "errors": ["x"]}, ": One or more errors; x"),
        (b"<html>no</html>", ""),
        ({"error": 7, "errors": None, "message": {"a": 1}}, ""),
    ],
)
def test_words_of_the_target_stay_as_they_came(body: Any, told: str) -> None:
    """RFC 9457, OAuth 2.0, Salesforce, and the usual shapes of others."""
    assert reason_of(body) == told


def test_words_are_bounded() -> None:
    """The whole answer is in the dead letter anyway."""
    assert len(reason_of({"message": "x" * 10_000})) == LONGEST + len(": ")


def test_odd_nesting_ends() -> None:
    """An answer is read from outside."""
    nested: Any = "deep"
    for _ in range(100):
        nested = {"errors": [nested]}

    assert reason_of(nested) == ""
    assert reason_of(b'{"errors":[' * 400 + b'"deep"' + b"]}" * 400) == ""
