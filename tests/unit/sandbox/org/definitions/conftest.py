"""An org with declared objects and events."""

from collections.abc import Callable
from typing import Any

import pytest

from streamer.sandbox.org.definitions import parse_schema
from streamer.sandbox.org.org import OrgSetup
from streamer.sandbox.org.refusals import Refused
from tests.unit.sandbox.org.world import OrgWorld

INVOICE = {
    "Number__c": {"type": "string", "length": 8, "required": True, "unique": True, "external_id": True},
    "Code__c": {"type": "string", "unique": True, "case_sensitive": True},
    "Batch__c": {"type": "string", "external_id": True},
    "Account__c": {"type": "reference", "to": "Account", "child_relationship": "Invoices__r"},
    "Payer__c": {"type": "reference", "to": ["Account", "Contact"], "child_relationship": "Paid__r"},
    "Amount__c": {"type": "currency", "precision": 6, "scale": 2},
    "Lines__c": "int",
    "Due__c": "date",
    "Paid__c": "boolean",
    "Status__c": {"type": "picklist", "values": ["Draft", "Sent"], "label": "Invoice status"},
    "Kind__c": {"type": "picklist", "values": ["New"], "restricted": False},
    "Tags__c": {"type": "multipicklist", "values": ["A", "B"]},
    "Remarks__c": {"type": "textarea"},
}
ORDER = {
    "Order_No__c": {"type": "string", "length": 5, "required": True},
    "Amount__c": {"type": "double", "precision": 4, "scale": 1},
    "At__c": "datetime",
    "Express__c": "boolean",
    "Note__c": "textarea",
}
DECLARED: dict[str, Any] = {
    "objects": {"Invoice__c": {"fields": INVOICE}},
    "events": {"Order_Placed__e": {"fields": ORDER}},
}


@pytest.fixture
def declared() -> Callable[..., OrgWorld]:
    """A function that makes an org of the keys of a schema."""

    def org(**keys: Any) -> OrgWorld:
        return OrgWorld(OrgSetup(schema=parse_schema({**DECLARED, **keys})))

    return org


@pytest.fixture
def world(declared: Callable[..., OrgWorld]) -> OrgWorld:
    """An org with invoices and orders."""
    return declared()


@pytest.fixture
def refusal() -> Callable[..., Refused]:
    """A function that returns the refusal of a call."""

    def of(call: Callable[..., Any], *arguments: Any, **options: Any) -> Refused:
        with pytest.raises(Refused) as caught:
            call(*arguments, **options)
        return caught.value

    return of
