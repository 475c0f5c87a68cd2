"""Histories that events tell in part, wrongly or not at all."""

from typing import Any

import pytest

from streamer.sandbox.faults.catalogue import Faults
from streamer.sandbox.org.channels import OrgChannel
from streamer.sandbox.org.definitions import parse_schema
from streamer.sandbox.org.org import OrgSetup
from streamer.sandbox.org.refusals import Refused
from tests.unit.sandbox.org.world import EVERYTHING, OrgWorld

LATER = "2025-01-01T00:01:40.000Z"
START = "2025-01-01T00:00:00.000Z"


@pytest.fixture
def faults(world: OrgWorld) -> Faults:
    """The faults of the world's org."""
    found = Faults(world.bus)
    world.org.intercept(found.altered)
    return found


def told(world: OrgWorld) -> list[tuple[str, str, list[str]]]:
    """Return the entity, the type and the records of each change event."""
    return [(each["entityName"], each["changeType"], each["recordIds"]) for each in world.headers()]


def test_the_next_changes_of_a_type_become_gaps(world: OrgWorld, faults: Faults) -> None:
    """As many as were armed, each of its own kind and without a body; the records have the changes."""
    faults.arm("gap_changes", {"type": "Account", "times": 4})
    world.create("Contact", LastName="Berg")
    account = world.create("Account", Name="Acme")
    world.update("Account", account, Phone="1")
    for operation in ("delete", "undelete"):
        with world.org.transaction() as transaction:
            getattr(transaction, operation)("Account", account)
    world.update("Account", account, Phone="2")
    kinds = ["GAP_CREATE", "GAP_UPDATE", "GAP_DELETE", "GAP_UNDELETE", "UPDATE"]
    assert told(world)[1:] == [("Account", kind, [account]) for kind in kinds]
    gaps = world.payloads()[1:-1]
    assert [set(gap) for gap in gaps] == [{"ChangeEventHeader"}] * 4
    assert [gap["ChangeEventHeader"]["changedFields"] for gap in gaps] == [[]] * 4
    assert (world.org.retrieve("Account", account)["Phone"], faults.struck["gap_changes"]) == ("2", 4)


def test_gaps_of_one_transaction_are_merged(world: OrgWorld, faults: Faults) -> None:
    """However their changes differ, those of one type are one event."""
    ids = [world.create("Account", Name=name) for name in "ABC"]
    faults.gap_changes(on=["update"], times=2)
    with world.org.transaction() as transaction:
        for record_id in ids:
            transaction.update("Account", record_id, {"Phone": record_id})
    assert told(world)[3:] == [("Account", "GAP_UPDATE", ids[:2]), ("Account", "UPDATE", ids[2:])]


async def test_a_gap_of_the_database_has_another_transaction(world: OrgWorld, faults: Faults) -> None:
    """It has neither the key nor the origin of the rest, and can leave LastModifiedDate as it was."""
    ids = [world.create("Account", Name=name) for name in "AB"]
    await world.clock.turn(100)
    faults.gap_changes("Account", in_database=True, keeps_dates=True)
    with world.org.transaction() as transaction:
        for record_id in ids:
            transaction.update("Account", record_id, {"Phone": "1"})
    change, gap = world.headers()[2:]
    assert (change["recordIds"], gap["recordIds"], gap["changeType"]) == (ids[1:], ids[:1], "GAP_UPDATE")
    assert change["transactionKey"] != gap["transactionKey"]
    assert (change["sequenceNumber"], gap["sequenceNumber"], gap["changeOrigin"]) == (1, 1, "")
    kept, stamped = (world.org.retrieve("Account", each) for each in ids)
    assert (kept["LastModifiedDate"], kept["SystemModstamp"], kept["Phone"]) == (START, LATER, "1")
    assert stamped["LastModifiedDate"] == LATER


def test_gaps_of_the_database_and_others_are_apart(world: OrgWorld, faults: Faults) -> None:
    """A gap of its own transaction is merged with none of another."""
    ids = [world.create("Account", Name=name) for name in "AB"]
    faults.gap_changes(in_database=True)
    faults.gap_changes()
    with world.org.transaction() as transaction:
        for record_id in ids:
            transaction.update("Account", record_id, {"Phone": "1"})
    assert [records for _, _, records in told(world)[2:]] == [ids[1:], ids[:1]]


def test_a_large_change_is_a_gap_once(world: OrgWorld, faults: Faults) -> None:
    """The fault waits for a change that is not a gap."""
    faults.gap_changes()
    world.create("Account", Name="Acme", Text__c="x" * 1_000_001)
    assert not faults.struck
    world.create("Account", Name="Acme")
    assert [kind for _, kind, _ in told(world)] == ["GAP_CREATE", "GAP_CREATE"]


def test_the_size_of_a_gap_can_be_set(faults: Faults) -> None:
    """A change above it is a gap, one at most as large is not; losing changes loses such a gap too."""
    world = OrgWorld(OrgSetup(event_bytes=2_000))
    world.org.intercept(faults.altered)
    small = world.create("Account", Name="Acme", Description="x" * 1_000)
    large = world.create("Account", Name="Acme", Description="x" * 2_000)
    faults.lose_changes()
    world.update("Account", small, Description="y" * 2_000)
    assert told(world) == [("Account", "CREATE", [small]), ("Account", "GAP_CREATE", [large])]


def test_changes_are_lost_without_a_trace(world: OrgWorld, faults: Faults) -> None:
    """No event, no gap, no hole in the sequence; the record alone shows them."""
    account = world.create("Account", Name="Acme")
    faults.arm("lose_changes", {"type": "Account", "on": ["update", "delete"], "times": 2})
    other = world.create("Account", Name="Other")
    with world.org.transaction() as transaction:
        transaction.update("Account", account, {"Phone": "1"})
        contact = transaction.create("Contact", {"LastName": "Berg"})
    with world.org.transaction() as transaction:
        transaction.delete("Account", other)
    world.update("Account", account, Phone="2")
    assert told(world)[1:] == [
        ("Account", "CREATE", [other]),
        ("Contact", "CREATE", [contact]),
        ("Account", "UPDATE", [account]),
    ]
    assert world.headers()[2]["sequenceNumber"] == 1
    with pytest.raises(Refused):
        world.org.retrieve("Account", other)


def test_an_overflow_is_never_lost(faults: Faults) -> None:
    """A fault hides changes; they count in the limit all the same."""
    world = OrgWorld(OrgSetup(transaction_limit=2))
    world.org.intercept(faults.altered)
    faults.lose_changes(times=None)
    with world.org.transaction() as transaction:
        for name in "ABC":
            transaction.create("Account", {"Name": name})
    assert told(world) == [("Account", "GAP_OVERFLOW", ["000000000000000AAA"])]


@pytest.mark.parametrize("declared", [False, True])
async def test_a_converted_field_loses_its_values(world: OrgWorld, *, declared: bool) -> None:
    """One update of all records without a body; no record tells when it changed."""
    if declared:
        fields = {"Score__c": {"type": "string", "label": "The score"}, "Name": {}}
        world.org.declare(parse_schema({"objects": {"Account": {"fields": fields}}}))
    account, deleted = (world.create("Account", Name="Acme", Score__c="high") for _ in range(2))
    world.create("Account", Name="Empty")
    with world.org.transaction() as transaction:
        transaction.delete("Account", deleted)
    await world.clock.turn(100)
    assert world.org.convert_field("account", "score__C", "double") == 2
    assert told(world)[-1] == ("Account", "UPDATE", ["001*"])
    assert set(world.payloads()[-1]) == {"ChangeEventHeader"}
    record = world.org.retrieve("Account", account)
    assert (record["Score__c"], record["SystemModstamp"], record["LastModifiedDate"]) == (None, START, START)
    entity = world.org.schema.entity("Account")
    assert (entity.fields["Score__c"].type, entity.declared) == ("double", declared)
    # The schema's own description can be declared again.
    parse_schema(world.org.declared.model_dump(mode="json", exclude_unset=True))


def test_a_converted_checkbox_is_false(world: OrgWorld) -> None:
    """It has no other empty value."""
    account = world.create("Account", Name="Acme", Active__c="yes")
    world.org.convert_field("Account", "Active__c", "boolean")
    assert world.org.retrieve("Account", account)["Active__c"] is False


def test_only_custom_fields_are_converted(world: OrgWorld) -> None:
    """A standard field and an unknown one are named."""
    with pytest.raises(ValueError, match="Phone is a standard field"):
        world.org.convert_field("Account", "phone", "double")
    with pytest.raises(Refused, match="Nope__c"):
        world.org.convert_field("Account", "Nope__c", "double")
    assert world.headers() == []


def test_no_channel_hides_or_splits_what_concerns_all_records() -> None:
    """Neither a filter nor enrichment applies to it."""

    class Never:
        text, fields = "Name = 'x'", ("Name",)

        def matches(self, payload: Any) -> bool:  # noqa: ARG002 - the filter lets nothing pass
            return False

    erp = OrgChannel(path="/data/Erp__chn", members=frozenset({"Account"}), filters={"Account": Never()})
    world = OrgWorld(OrgSetup(channels=(erp,)))
    world.create("Account", Name="Acme", Score__c="high")
    world.org.convert_field("Account", "Score__c", "double")
    assert world.messages(erp.path) == world.messages(EVERYTHING)[1:]


def test_a_refreshed_org_is_another_one(world: OrgWorld) -> None:
    """It has another id each time, its records, and none of its events."""
    account = world.create("Account", Name="Acme")
    replay_id = world.bus.newest_replay_id(EVERYTHING)
    former = world.org.settings.org_id
    ids = [world.org.refresh(), world.org.refresh(), world.org.refresh("00DSb0000000042")]
    assert len({former, *ids}) == 4
    assert world.org.settings.org_id == ids[-1] == "00DSb0000000042MAA"
    organizations = world.org.records.all(world.org.schema.entity("Organization"))
    assert [each["Id"] for each in organizations] == ids[-1:]
    assert world.org.retrieve("Account", account)["Name"] == "Acme"
    assert (world.headers(), world.bus.is_valid(EVERYTHING, replay_id or 0)) == ([], False)


@pytest.mark.parametrize("org_id", ["001Sb0000000042", "00D", ""])
def test_an_org_has_the_id_of_an_org(world: OrgWorld, org_id: str) -> None:
    """Nothing is refreshed otherwise."""
    world.create("Account", Name="Acme")
    with pytest.raises(ValueError, match="begins with 00D"):
        world.org.refresh(org_id)
    assert len(world.headers()) == 1
