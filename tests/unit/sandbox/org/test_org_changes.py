"""Change events that follow from changes to records."""

import hashlib
from contextlib import suppress

import pytest

from streamer.sandbox.org.refusals import Refused
from tests.unit.sandbox.org.world import EVERYTHING, OrgWorld

MARK = "2025-01-01T00:01:40.000Z"


def test_a_created_record_is_announced_with_its_compound_fields(world: OrgWorld) -> None:
    """Components appear inside their compound field, empty fields not at all."""
    contact = world.create("Contact", FirstName="Ida", LastName="Berg", MailingCity="Oslo", Phone="")
    (payload,) = world.payloads()
    header = payload.pop("ChangeEventHeader")
    user, at = world.org.settings.user_id, "2025-01-01T00:00:00.000Z"
    assert payload == {
        "Name": {"FirstName": "Ida", "LastName": "Berg"},
        "MailingAddress": {"City": "Oslo"},
        "OwnerId": user,
        "CreatedDate": at,
        "CreatedById": user,
        "LastModifiedDate": at,
        "LastModifiedById": user,
    }
    assert (header["entityName"], header["recordIds"], header["changeType"], header["changedFields"]) == (
        "Contact",
        [contact],
        "CREATE",
        [],
    )


async def test_an_update_sends_what_changed_and_null_for_what_was_emptied(world: OrgWorld) -> None:
    """LastModifiedDate is always among the changed fields, LastModifiedById only for another user."""
    account = world.create("Account", Name="Acme", Phone="1", BillingCity="Oslo", BillingStreet="Gata")
    await world.clock.turn(100)
    world.update("Account", account, Phone=None, BillingCity="Bergen")
    payload = world.payloads()[-1]
    header = payload.pop("ChangeEventHeader")
    assert payload == {"Phone": None, "BillingAddress": {"City": "Bergen"}, "LastModifiedDate": MARK}
    assert header["changeType"] == "UPDATE"
    assert header["changedFields"] == ["Phone", "LastModifiedDate", "BillingAddress.City"]
    assert header["commitTimestamp"] == 1_735_689_700_000


def test_another_user_is_part_of_the_update(world: OrgWorld) -> None:
    """LastModifiedById is sent when the user differs from the one before."""
    account = world.create("Account", Name="Acme")
    with world.org.transaction(user="005Sb0000000009IAA") as transaction:
        transaction.update("Account", account, {"Phone": "1"})
    payload = world.payloads()[-1]
    assert payload["LastModifiedById"] == payload["ChangeEventHeader"]["commitUser"] == "005Sb0000000009IAA"
    assert "LastModifiedById" in payload["ChangeEventHeader"]["changedFields"]


def test_the_same_change_of_several_records_is_one_event(world: OrgWorld) -> None:
    """Equal changes to records of one type in one transaction are merged; a different one is not."""
    first, second, third = (world.create("Account", Name=name) for name in "ABC")
    with world.org.transaction() as transaction:
        transaction.update("Account", first, {"Phone": "1"})
        transaction.update("Account", second, {"Phone": "2"})
        transaction.update("Account", third, {"Phone": "1"})
    headers = world.headers()[-2:]
    assert [(header["recordIds"], header["sequenceNumber"]) for header in headers] == [
        ([first, third], 1),
        ([second], 2),
    ]
    assert headers[0]["transactionKey"] == headers[1]["transactionKey"]


def test_several_operations_on_a_record_are_one_event_of_the_first_kind(world: OrgWorld) -> None:
    """Creating and updating in one transaction is a CREATE with the final values."""
    with world.org.transaction() as transaction:
        account = transaction.create("Account", {"Name": "Acme", "Phone": "1"})
        transaction.update("Account", account, {"Phone": "2"})
    (payload,) = world.payloads()
    assert payload["ChangeEventHeader"]["changeType"] == "CREATE"
    assert payload["Phone"] == "2"


def test_a_delete_has_no_body_and_an_undelete_has_all(world: OrgWorld) -> None:
    """A record restored from the Recycle Bin is announced with its fields."""
    account = world.create("Account", Name="Acme")
    with world.org.transaction() as transaction:
        transaction.delete("Account", account)
    with world.org.transaction() as transaction:
        transaction.undelete("Account", account)
    deleted, undeleted = world.payloads()[-2:]
    assert deleted.pop("ChangeEventHeader")["changeType"] == "DELETE"
    assert deleted == {}
    assert undeleted["ChangeEventHeader"]["changeType"] == "UNDELETE"
    assert undeleted["Name"] == "Acme"


def test_a_deleted_account_takes_its_records_along(world: OrgWorld) -> None:
    """In one transaction, each type with an event of its own; restoring it restores them."""
    account = world.create("Account", Name="Acme")
    contacts = [world.create("Contact", LastName=name, AccountId=account) for name in ("Aas", "Berg")]
    fields = {"StageName": "Prospecting", "CloseDate": "2025-02-01", "AccountId": account}
    deal = world.create("Opportunity", Name="Deal", **fields)
    item = world.create("OpportunityLineItem", OpportunityId=deal)
    other = world.create("Contact", LastName="Other")
    with world.org.transaction() as transaction:
        transaction.delete("Account", account)
    headers = world.headers()[-4:]
    assert [(each["changeType"], each["recordIds"]) for each in headers] == [
        ("DELETE", [account]),
        ("DELETE", contacts),
        ("DELETE", [deal]),
        ("DELETE", [item]),
    ]
    assert [each["sequenceNumber"] for each in headers] == [1, 2, 3, 4]
    assert len({each["transactionKey"] for each in headers}) == 1
    assert not world.org.retrieve("Contact", other)["IsDeleted"]

    with world.org.transaction() as transaction:
        transaction.undelete("Account", account)
    assert world.org.retrieve("OpportunityLineItem", item)["Id"] == item


def test_a_record_that_was_deleted_before_its_account_stays_deleted(world: OrgWorld) -> None:
    """Only what the account took along comes back with it."""
    account = world.create("Account", Name="Acme")
    contact = world.create("Contact", LastName="Berg", AccountId=account)
    for type_name, record_id in (("Contact", contact), ("Account", account)):
        with world.org.transaction() as transaction:
            transaction.delete(type_name, record_id)
    with world.org.transaction() as transaction:
        transaction.undelete("Account", account)
    with pytest.raises(Refused, match="entity is deleted"):
        world.org.retrieve("Contact", contact)


def test_a_record_made_and_deleted_at_once_is_not_announced(world: OrgWorld) -> None:
    """Nothing of it outlives the transaction."""
    with world.org.transaction() as transaction:
        transaction.delete("Account", transaction.create("Account", {"Name": "Acme"}))
    assert world.messages() == []


def test_a_failed_transaction_leaves_records_and_channels_alone(world: OrgWorld) -> None:
    """Operations before the refusal are undone, and nothing is announced."""
    account = world.create("Account", Name="Acme")
    with suppress(Refused), world.org.transaction() as transaction:
        transaction.update("Account", account, {"Name": "Other"})
        transaction.create("Account", {"Name": "New"})
        transaction.create("Contact", {"FirstName": "Nobody"})
    records = world.org.records.all(world.org.schema.entity("Account"))
    assert [record["Name"] for record in records] == ["Acme"]
    assert len(world.messages()) == 1


def test_commit_numbers_rise_and_keys_differ_between_transactions(world: OrgWorld) -> None:
    """Each transaction has its own key and a higher commit number."""
    for name in "ABC":
        world.create("Account", Name=name)
    numbers = [header["commitNumber"] for header in world.headers()]
    assert numbers == sorted(set(numbers))
    assert len({header["transactionKey"] for header in world.headers()}) == 3


def test_an_update_of_long_text_sends_a_difference(world: OrgWorld) -> None:
    """A long text with one changed line is sent as a diff with the hash of the new text."""
    lines = [f"line {number} {'x' * 40}" for number in range(40)]
    account = world.create("Account", Name="Acme", Description="\n".join(lines))
    lines[1] = "new"
    world.update("Account", account, Description="\n".join(lines))
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    removed = f"line 1 {'x' * 40}"
    diff = f"--- \n+++ {digest}\n@@ -2,1 +2,1 @@\n-{removed}\n+new\n"
    assert world.payloads()[-1]["Description"] == {"diff": diff}


def test_an_event_that_is_too_large_is_a_gap(world: OrgWorld) -> None:
    """Past a megabyte only the header is sent."""
    world.create("Account", Name="Acme", Text__c="x" * 1_000_001)
    (payload,) = world.payloads()
    assert payload.pop("ChangeEventHeader")["changeType"] == "GAP_CREATE"
    assert payload == {}


def test_a_won_opportunity_is_closed_by_its_stage(world: OrgWorld) -> None:
    """Fields that follow from the stage change with it."""
    deal = world.create("Opportunity", Name="Deal", StageName="Prospecting", CloseDate="2025-02-01")
    world.update("Opportunity", deal, StageName="Closed Won")
    payload = world.payloads(EVERYTHING)[-1]
    assert (payload["StageName"], payload["IsWon"], payload["IsClosed"], payload["Probability"]) == (
        "Closed Won",
        True,
        True,
        100,
    )


def test_a_refused_field_names_itself(world: OrgWorld) -> None:
    """Writing an unknown field is refused with the field's name."""
    with pytest.raises(Refused, match="No such column 'Nope' on sobject of type Account"):
        world.create("Account", Name="Acme", Nope=1)
