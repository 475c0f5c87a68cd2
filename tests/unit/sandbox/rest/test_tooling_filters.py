"""Filter expressions of channel members."""

from typing import Any

import pytest

from streamer.sandbox.org.refusals import Refused
from streamer.sandbox.org.schema import STANDARD, Field
from streamer.sandbox.rest.tooling.filters import payload_filter

ACCOUNT = STANDARD["Account"]
HEADER = {"changeType": "UPDATE", "recordIds": ["001"], "changeOrigin": "com/salesforce/api/rest/66.0"}
PAYLOAD: dict[str, Any] = {
    "ChangeEventHeader": HEADER,
    "Industry": "Energy",
    "NumberOfEmployees": 1_000,
    "Phone": None,
    "BillingAddress": {"City": "Oslo"},
    "LastModifiedDate": "2025-01-01T00:00:00.000Z",
}


def known(name: str) -> Field | None:
    """Return a field of an account."""
    return ACCOUNT.fields.get("BillingCity" if name == "BillingAddress.City" else name)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("Industry = 'Energy'", True),
        ("Industry='Retail'", False),
        ("Industry LIKE 'En%' AND NumberOfEmployees >= 1000", True),
        ("(NOT Industry = 'Energy') AND NumberOfEmployees > 1", False),
        ("Industry = 'Retail' OR BillingAddress.City != 'Bergen'", True),
        ("Phone = null", True),
        ("Fax = '1'", False),
        ("ChangeEventHeader.changeType = 'UPDATE'", True),
        ("ChangeEventHeader.changeType = 'DELETE' AND Industry = 'Energy'", False),
        ("LastModifiedDate > 2024-12-31T23:59:59Z", True),
    ],
)
def test_event_is_judged(text: str, *, holds: bool) -> None:
    """By its fields, their parts and its header."""
    assert payload_filter(text, known).matches(PAYLOAD) is holds


def test_filter_names_the_fields_that_it_needs() -> None:
    """An update carries them although they did not change; the header comes in any case."""
    text = "BillingAddress.City = 'Oslo' AND Industry = 'Energy' AND ChangeEventHeader.changeType = 'UPDATE'"
    assert payload_filter(text, known).fields == ("BillingAddress", "Industry")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Industry",
        "Industry = 'Energy' LIMIT 1",
        "Industry = 'Energy' ORDER BY Industry",
        "Industry IN ('Energy')",
        "CALENDAR_YEAR(LastModifiedDate) = 2025",
        "Id IN (SELECT AccountId FROM Contact)",
        "LastModifiedDate > TODAY",
        "LastModifiedDate = LAST_N_DAYS:3",
        "ChangeEventHeader.recordIds = '001'",
        "NumberOfEmployees = 'many'",
        " AND ".join(f"Field{number}__c = 1" for number in range(11)),
        "Industry = '" + "x" * 131_072 + "'",
    ],
)
def test_what_is_no_filter_is_refused(text: str) -> None:
    """As the org would, before an event is lost by it."""
    with pytest.raises(Refused):
        payload_filter(text, known)
