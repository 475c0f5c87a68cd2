"""Change events of opportunities that were won."""

from collections.abc import Sequence
from dataclasses import replace

from streamer.events import Event
from tests.bench.events import a_change

_OBJECT_PREFIX = "006"


def a_deal(accounts: Sequence[str], number: int, record: str) -> Event:
    """Return a change event of about 1 KB: an opportunity of one of `accounts`, in turn, was won.

    The opportunity's id is `record` with the prefix of its object.
    """
    record = f"{_OBJECT_PREFIX}{record.removeprefix(record[: len(_OBJECT_PREFIX)])}"
    fields = {
        "Name": f"Renewal of the plant in hall {number}",
        "StageName": "Closed Won",
        "Amount": 10_000.0 + number % 900_000,
        "CurrencyIsoCode": "EUR",
        "CloseDate": "2026-11-01",
        "AccountId": accounts[number % len(accounts)],
        "Order_Number__c": f"A-{number:08d}",
        "Segment__c": ("Enterprise", "Public", None)[number % 3],
        "Type": "New Business",
        "Region__c": "Nordics",
        "Discount__c": 5.0,
        "Lead_Channel__c": "Direct",
        **{f"Field{n}__c": f"{number * 7919 % 100_003} of {n} and more" for n in range(12)},
    }
    data = {
        "record_id": record,
        "entity": "Opportunity",
        "change": "UPDATE",
        "fields": fields,
        "changed_fields": ["StageName", "CloseDate", "Probability", "IsClosed", "IsWon", "LastModifiedDate"],
        "nulled_fields": [],
        "transaction": {
            "key": f"0004d3a1-7b0e-{number:012d}",
            "sequence": 1,
            "commit_number": 10_585_193_272_713 + number,
            "user": "005000000000001AAA",
            "origin": "com/salesforce/api/soap/62.0;client=SfdcInternalAPI/",
        },
    }
    return replace(
        a_change(number, record),
        type="salesforce.cdc.Opportunity.updated",
        subject=record,
        key=record,
        data=data,
    )
