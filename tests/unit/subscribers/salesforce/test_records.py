"""Deliveries become records of one operation, and Salesforce's answers outcomes."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from streamer.errors import CredentialsRefused, SalesforceUnavailable
from streamer.events import Delivered, FailureClass, Hold, Reject, Retry, Skip
from streamer.ports import Unanswered, WriteKind, WriteOperation, WriteRefused, WriteResult, Written
from tests.deliveries import delivery
from tests.unit.subscribers.salesforce.orgs import ScriptedOrg, change, outcome_of, outcomes_of

OPPORTUNITY = "006000000000001AAA"
OTHER = "006000000000002AAA"
UPSERT = {"sobject": "Invoice__c", "external_id": "Number__c"}


async def test_update_writes_the_records_that_body_names() -> None:
    """In one call, however Id is written."""
    org = ScriptedOrg()
    bodies = [{"Id": OTHER, "Invoice__c": "7"}, {"id": OPPORTUNITY[:15], "Invoice__c": "8"}]
    sent = [delivery(change(), body=body) for body in bodies]
    outcomes = await outcomes_of(org, *sent, update="Opportunity")

    operation = WriteOperation(kind=WriteKind.UPDATE, sobject="Opportunity")
    ids = [OTHER, OPPORTUNITY[:15]]
    assert org.written == [
        (operation, [{"Id": each, "Invoice__c": number} for each, number in zip(ids, "78", strict=True)])
    ]
    assert outcomes == [Delivered(answer={"sobject": "Opportunity", "id": each}) for each in ids]


async def test_deleted_record_is_not_updated() -> None:
    """Its deletion is what the event tells."""
    deleted = replace(change(), type="salesforce.cdc.Opportunity.deleted")
    own, other = ({"Id": each, "Invoice__c": "7"} for each in (OPPORTUNITY, OTHER))
    outcomes = await outcomes_of(
        ScriptedOrg(), delivery(deleted, body=own), delivery(deleted, body=other), update="Opportunity"
    )

    assert [type(each) for each in outcomes] == [Skip, Delivered]


@pytest.mark.parametrize(
    ("settings", "body", "kind"),
    [
        ({"update": "Opportunity"}, {"Phone": "1"}, Reject),
        ({"update": "Opportunity"}, {"Id": None, "Phone": "1"}, Reject),
        ({"update": "Opportunity"}, {"Id": "../../x", "Phone": "1"}, Reject),
        ({"update": "Opportunity"}, {"Id": OTHER}, Skip),
        ({"update": "Opportunity"}, {}, Skip),
        ({"update": "Opportunity"}, None, Reject),
        ({"update": "Opportunity"}, ["x"], Reject),
        ({"upsert": UPSERT}, {"Amount__c": 1}, Reject),
        ({"upsert": UPSERT}, {"Number__c": ""}, Reject),
        ({"upsert": UPSERT}, {"Number__c": True}, Reject),
        ({"upsert": UPSERT}, {"Number__c": "7", "id": OTHER}, Reject),
        ({"create": "Task"}, {"Id": OTHER, "Subject": "Call"}, Reject),
        ({"delete": "Opportunity"}, None, Reject),
    ],
)
async def test_record_that_can_not_be_written_is_not_sent(
    settings: dict[str, Any], body: Any, kind: type
) -> None:
    """And says nothing about the org."""
    org = ScriptedOrg()
    outcome = await outcome_of(org, delivery(change(), body=body), **settings)

    assert type(outcome) is kind
    assert not getattr(outcome, "sent", True)
    assert org.written == []


async def test_upsert_names_the_record_by_its_external_id() -> None:
    """A text or a number; the receipt says whether the record is new."""
    org = ScriptedOrg(result=Written(record_id="a00", created=True))
    body = {"Number__c": Decimal(7), "Amount__c": 1}
    outcome = await outcome_of(org, delivery(change(), body=body), upsert=UPSERT)

    operation = WriteOperation(kind=WriteKind.UPSERT, sobject="Invoice__c", external_id="Number__c")
    assert org.written == [(operation, [body])]
    assert outcome == Delivered(answer={"sobject": "Invoice__c", "id": "a00", "created": True})


async def test_create_with_an_id_field_happens_once() -> None:
    """It is an upsert by the key of the delivery, which is the same on each attempt."""
    org = ScriptedOrg()
    sent = delivery(change(), key="k", body={"Subject": "Call"})
    await outcome_of(org, sent, create="Task", id_field="Key__c")
    await outcome_of(org, sent, create="Task")

    assert org.written == [
        (
            WriteOperation(kind=WriteKind.UPSERT, sobject="Task", external_id="Key__c"),
            [{"Subject": "Call", "Key__c": "k"}],
        ),
        (WriteOperation(kind=WriteKind.CREATE, sobject="Task"), [{"Subject": "Call"}]),
    ]


async def test_record_that_is_deleted_already_is_delivered() -> None:
    """As after an answer that was lost."""
    org = ScriptedOrg(result=WriteRefused(code="ENTITY_IS_DELETED", message="entity is deleted"))
    outcome = await outcome_of(org, delivery(change(), body={"Id": OPPORTUNITY}), delete="Opportunity")

    assert outcome == Delivered(answer={"sobject": "Opportunity", "id": OPPORTUNITY, "was_deleted": True})


def refused(code: str, message: str = "m", **more: Any) -> WriteRefused:
    """Return a refusal."""
    return WriteRefused(code=code, message=message, **more)


@pytest.mark.parametrize(
    ("result", "kind", "failure"),
    [
        (refused("UNABLE_TO_LOCK_ROW"), Retry, FailureClass.OTHER),
        (
            refused("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "caused by UNABLE_TO_LOCK_ROW, unable to"),
            Retry,
            FailureClass.OTHER,
        ),
        (refused("REQUEST_LIMIT_EXCEEDED"), Hold, FailureClass.RATE_LIMITED),
        (refused("SERVER_UNAVAILABLE"), Hold, FailureClass.HTTP_5XX),
        (refused("INVALID_TYPE"), Hold, FailureClass.REJECTED),
        (refused("NOT_FOUND", is_general=True), Hold, FailureClass.REJECTED),
        (refused("CANNOT_EXECUTE_FLOW_TRIGGER"), Retry, FailureClass.REJECTED),
        (refused(""), Retry, FailureClass.REJECTED),
        (refused("FIELD_CUSTOM_VALIDATION_EXCEPTION"), Reject, FailureClass.REJECTED),
        (refused("DUPLICATE_VALUE"), Reject, FailureClass.REJECTED),
        (refused("NO_JSON", sent=False), Reject, FailureClass.REJECTED),
        (Unanswered(error=SalesforceUnavailable("HTTP 503")), Retry, FailureClass.HTTP_5XX),
        (Unanswered(error=CredentialsRefused("no")), Hold, FailureClass.REFUSED_CREDENTIALS),
    ],
)
async def test_result_becomes_its_outcome(result: WriteResult, kind: type, failure: FailureClass) -> None:
    """A passing fault is retried, a fault of the target holds it, and others make a dead letter."""
    outcome = await outcome_of(
        ScriptedOrg(result=result), delivery(change(), body={"Id": OTHER, "Phone": "1"}), update="Opportunity"
    )

    assert type(outcome) is kind
    assert not isinstance(outcome, Delivered | Skip)
    assert outcome.failure is failure
    assert not isinstance(result, WriteRefused) or result.message in outcome.reason


async def test_doubtful_refusal_is_final_after_some_tries() -> None:
    """As is an upsert whose external id someone else keeps creating."""
    update: dict[str, Any] = {"update": "Opportunity"}
    for code, settings, body in (
        ("UNKNOWN_EXCEPTION", update, {"Id": OTHER, "Phone": "1"}),
        ("DUPLICATE_VALUE", {"upsert": UPSERT}, {"Number__c": "7"}),
    ):
        org = ScriptedOrg(result=refused(code))
        sent = delivery(change(), body=body)
        tries = [
            await outcome_of(org, replace(sent, attempt=number), refusal_tries=2, **settings)
            for number in (1, 2)
        ]
        assert [type(each) for each in tries] == [Retry, Reject]
