"""Change events have the shape of CometD."""

from typing import Any

import pytest

from streamer.events import Event
from streamer.normalise import normaliser_for
from streamer.salesforce.pubsub.avro import UnusableSchema
from tests.messages import CHANGES
from tests.unit.salesforce.pubsub.avro.samples import (
    ACCOUNT,
    ADDRESS,
    HEADER,
    PERSON_NAME,
    body,
    change_schema,
    decoded,
    header,
    optional,
    parsed,
    written,
)

SMALL_ACCOUNT = change_schema(
    optional("Name"),
    optional("Type"),
    optional("ParentId"),
    optional("BillingAddress", ADDRESS),
    optional("LastModifiedDate", "long"),
)
GOLDEN = bytes.fromhex(
    "0e4163636f756e740224303031414230303030305445535431594141000258636f6d2f73616c6573666f7263652f617069"
    "2f726573742f36312e303b636c69656e743d6572702d73796e634830303030616161612d626262622d636363632d646464"
    "642d6565656566666666303030310280f0cbf28365e2a2f3ad0724303035414230303030305553455231594141020c342d"
    "3078303400000408307832300c342d3078303600000000020002084f736c6f0000000000000280f0cbf28365"
)


def test_golden_update_has_the_changed_fields_alone() -> None:
    """One part of the address was changed and one cleared; all else is null because it did not change."""
    payload = parsed(SMALL_ACCOUNT).decode(GOLDEN)

    assert payload.pop("ChangeEventHeader") == {
        "entityName": "Account",
        "recordIds": ["001AB00000TEST1YAA"],
        "changeType": "UPDATE",
        "changeOrigin": "com/salesforce/api/rest/61.0;client=erp-sync",
        "transactionKey": "0000aaaa-bbbb-cccc-dddd-eeeeffff0001",
        "sequenceNumber": 1,
        "commitTimestamp": 1_735_689_600_000,
        "commitNumber": 987_654_321,
        "commitUser": "005AB00000USER1YAA",
        "changedFields": ["LastModifiedDate", "BillingAddress.City", "BillingAddress.State"],
    }
    assert payload == {
        "BillingAddress": {"City": "Oslo", "State": None},
        "LastModifiedDate": "2025-01-01T00:00:00.000Z",
    }


def test_fastavro_writes_the_golden_update() -> None:
    """The other tests' data are made as the golden one is."""
    about = header(changedFields=["0x20", "4-0x06"], nulledFields=["4-0x04"])
    values = {
        "ChangeEventHeader": about,
        "BillingAddress": {"City": "Oslo"},
        "LastModifiedDate": 1_735_689_600_000,
    }

    assert written(SMALL_ACCOUNT, values) == GOLDEN


def test_update_is_the_event_that_cometd_gives() -> None:
    """The normaliser finds every part of the event at its place."""
    payload = parsed(SMALL_ACCOUNT).decode(GOLDEN)
    message = {"channel": CHANGES.path, "data": {"payload": payload, "event": {"replayId": 4711}}}

    [event] = normaliser_for(CHANGES)([message])

    assert isinstance(event, Event)
    assert event.type == "salesforce.cdc.Account.updated"
    assert event.time == "2025-01-01T00:00:00.000Z"
    assert event.data["changed_fields"] == ["LastModifiedDate", "BillingAddress.City", "BillingAddress.State"]
    assert event.data["nulled_fields"] == ["BillingAddress.State"]


@pytest.mark.parametrize("kind", ["CREATE", "UNDELETE"])
def test_created_record_has_its_filled_fields(kind: str) -> None:
    """Empty ones are absent, in compound fields too."""
    fields = body(ACCOUNT, kind, Name="Acme", BillingAddress={"City": "Oslo"}, ShippingAddress={})

    assert fields == {"Name": "Acme", "BillingAddress": {"City": "Oslo"}}


@pytest.mark.parametrize("kind", ["DELETE", "GAP_CREATE", "GAP_UPDATE", "GAP_DELETE", "GAP_OVERFLOW"])
def test_deletion_and_gap_have_no_fields(kind: str) -> None:
    """Null says nothing there."""
    assert body(ACCOUNT, kind) == {}


def test_deletion_carries_its_enrichment() -> None:
    """An enriched field is sent although it did not change."""
    assert body(ACCOUNT, "DELETE", AccountNumber="A-17") == {"AccountNumber": "A-17"}


def test_update_carries_its_enrichment_beside_what_changed() -> None:
    """Only the header tells which of the two a field is."""
    payload = decoded(
        ACCOUNT,
        ChangeEventHeader=header(changedFields=["0x400040"]),
        Phone="1",
        AccountNumber="A-17",
        LastModifiedDate=0,
    )

    assert payload.pop("ChangeEventHeader")["changedFields"] == ["Phone", "LastModifiedDate"]
    assert payload == {"Phone": "1", "AccountNumber": "A-17", "LastModifiedDate": "1970-01-01T00:00:00.000Z"}


def test_cleared_field_is_null_and_an_unchanged_one_absent() -> None:
    """A consumer that writes the nulls into its own record clears one field, not all."""
    fields = body(ACCOUNT, _changedFields=["0x0000C0"], _nulledFields=["0x000040"], Fax="2")

    assert fields == {"Phone": None, "Fax": "2"}


def test_cleared_compound_is_null() -> None:
    """Its own bit stands for the whole of it."""
    assert body(ACCOUNT, _changedFields=["0x10"], _nulledFields=["0x10"]) == {"BillingAddress": None}


def test_parts_that_were_all_cleared_are_null_one_by_one() -> None:
    """The compound itself is null in Avro then."""
    assert body(ACCOUNT, _nulledFields=["4-0x03"]) == {"BillingAddress": {"Street": None, "City": None}}


def test_field_that_is_changed_and_null_but_not_cleared_is_absent() -> None:
    """It can be one that the user may not see."""
    assert body(ACCOUNT, _changedFields=["0x40"]) == {}


def test_nulls_of_a_created_record_are_not_clearings() -> None:
    """Nothing of a new record can be cleared."""
    assert body(ACCOUNT, "CREATE", _nulledFields=["0x40"], Fax="2") == {"Fax": "2"}


def test_header_without_nulled_fields_leaves_it_to_the_changed_ones() -> None:
    """A changed field without a value was cleared."""
    older = {**HEADER, "fields": [field for field in HEADER["fields"] if field["name"] != "nulledFields"]}
    schema = change_schema(optional("Phone"), optional("Fax"), header=older)

    assert body(schema, _changedFields=["0x02"]) == {"Phone": None}


def test_difference_of_a_text_is_told_from_a_text() -> None:
    """CometD wraps it."""
    text = "--- \n+++ 9f86d081\n@@ -2,1 +2,1 @@\n-old\n+new\n"

    fields = body(ACCOUNT, _diffFields=["0x010000"], _changedFields=["0x010000"], Description=text)

    assert fields == {"Description": {"diff": text}}


def test_difference_of_a_part_is_told_from_a_text() -> None:
    """A street can have many lines."""
    fields = body(ACCOUNT, _diffFields=["4-0x01"], BillingAddress={"Street": "@@", "City": "Oslo"})

    assert fields == {"BillingAddress": {"Street": {"diff": "@@"}, "City": "Oslo"}}


@pytest.mark.parametrize("elements", [["0x010000"], ["4-0x01"], ["0x001000"]])
def test_difference_without_a_text_changes_nothing(elements: list[str]) -> None:
    """There is nothing to wrap."""
    fields = body(ACCOUNT, _diffFields=elements, Phone="1", AnnualRevenue=1.5)

    assert fields == {"Phone": "1", "AnnualRevenue": 1.5}


@pytest.mark.parametrize("name", ["Acme", {"FirstName": "Ida", "LastName": "Berg"}])
def test_name_is_a_text_or_a_record(name: Any) -> None:
    """Business accounts and person accounts share a schema."""
    schema = change_schema({"name": "Name", "type": ["null", "string", PERSON_NAME], "default": None})

    assert body(schema, "CREATE", Name=name) == {"Name": name}


@pytest.mark.parametrize("name", ["Acme", {"LastName": "Berg"}])
def test_required_name_is_a_text_or_a_record(name: Any) -> None:
    """Its union has no null."""
    schema = change_schema({"name": "Name", "type": ["string", PERSON_NAME]}, optional("Phone"))

    assert body(schema, "CREATE", Name=name, Phone="1") == {"Name": name, "Phone": "1"}


def test_cleared_part_of_a_name_that_is_a_text_leaves_the_text() -> None:
    """Such an event would contradict itself; its text is kept."""
    schema = change_schema({"name": "Name", "type": ["null", "string", PERSON_NAME]})

    assert body(schema, _nulledFields=["1-0x02"], Name="Acme") == {"Name": "Acme"}


@pytest.mark.parametrize("elements", [["0x40"], ["4-0x02"], ["0x10"]])
def test_value_of_a_field_that_is_called_cleared_is_kept(elements: list[str]) -> None:
    """Such an event would contradict itself; nothing that was sent is dropped."""
    fields = {"Phone": "1", "BillingAddress": {"City": "Oslo"}}

    assert body(ACCOUNT, _nulledFields=elements, **fields) == fields


@pytest.mark.parametrize("count", [1, 127, 128, 129, 900])
def test_fields_of_a_wide_type_are_found_between_nulls(count: int) -> None:
    """Most of them are null in each change."""
    schema = change_schema(*(optional(f"F{number}") for number in range(count)))

    for number in {0, count // 2, 126, 127, 128, 255, 256, count - 1} & set(range(count)):
        assert body(schema, "CREATE", **{f"F{number}": "x"}) == {f"F{number}": "x"}
    assert body(schema, "CREATE") == {}


def test_null_need_not_come_first_in_a_union() -> None:
    """Avro leaves the order to the schema."""
    schema = change_schema({"name": "Phone", "type": ["string", "null"]}, optional("Fax"))

    assert body(schema, "CREATE", Phone=None, Fax="2") == {"Fax": "2"}


def test_record_in_a_list_is_whole() -> None:
    """Its nulls do not count as changes of a field."""
    schema = change_schema(optional("Names", {"type": "array", "items": PERSON_NAME}))

    fields = body(schema, Names=[{"LastName": "Berg"}, {}])

    nobody = {"Salutation": None, "FirstName": None, "LastName": None}
    assert fields == {"Names": [{**nobody, "LastName": "Berg"}, nobody]}


def test_merged_change_keeps_all_record_ids() -> None:
    """One change to many records has many ids."""
    ids = [f"001AB00000TEST{number}YAA" for number in range(200)]
    payload = decoded(ACCOUNT, ChangeEventHeader=header(recordIds=ids, changeOrigin="é" * 100))

    assert payload["ChangeEventHeader"]["recordIds"] == ids
    assert payload["ChangeEventHeader"]["changeOrigin"] == "é" * 100


def test_large_numbers_of_the_header_are_exact() -> None:
    """A commit number has more digits than a double holds."""
    about = header(commitNumber=2**63 - 1, commitTimestamp=-(2**63))

    read = decoded(ACCOUNT, ChangeEventHeader=about)["ChangeEventHeader"]

    assert (read["commitNumber"], read["commitTimestamp"]) == (2**63 - 1, -(2**63))


def test_symbols_are_read_from_the_schema() -> None:
    """Their order is not ours to know."""
    fields = [dict(field) for field in HEADER["fields"]]
    fields[2]["type"] = {"type": "enum", "name": "ChangeType", "symbols": ["SNAPSHOT", "UPDATE", "CREATE"]}
    schema = change_schema(optional("Phone"), header={**HEADER, "fields": fields})

    assert decoded(schema, ChangeEventHeader=header("CREATE"))["ChangeEventHeader"]["changeType"] == "CREATE"


@pytest.mark.parametrize(
    "kind", ["string", {"type": "array", "items": "long"}, {"type": "array", "items": ADDRESS}]
)
def test_header_with_other_bitmaps_is_an_unusable_schema(kind: Any) -> None:
    """The events could not be read, and no bytes of them are to blame."""
    fields = [
        {**field, "type": kind} if field["name"] == "diffFields" else field for field in HEADER["fields"]
    ]

    with pytest.raises(UnusableSchema, match=r"diffFields is not a list of texts"):
        parsed(change_schema(optional("Phone"), header={**HEADER, "fields": fields}))


def test_header_that_is_no_record_is_an_unusable_schema() -> None:
    """An event without a header is not a change."""
    with pytest.raises(UnusableSchema, match="ChangeEventHeader is not a record"):
        parsed({"type": "record", "name": "X", "fields": [{"name": "ChangeEventHeader", "type": "string"}]})
