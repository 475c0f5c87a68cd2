"""Fields of a describe become columns of a query, and fields of an event."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.errors import UnreadableEvent
from streamer.normalise.record_shape import RecordShape
from tests.unit.normalise.describes import ACCOUNT, CONTACT, USER, described, field

CONTACT_ID = "003AB00000TEST1YAA"


def test_parts_of_compound_fields_are_selected_and_not_these_themselves() -> None:
    """A Bulk query refuses addresses and geolocations."""
    select = RecordShape.of(CONTACT).select

    assert {"FirstName", "LastName", "MailingCity", "Site__Latitude__s"} <= set(select)
    assert not {"Name", "MailingAddress", "Site__c"} & set(select)


def test_own_columns_come_first_and_only_where_the_entity_has_them() -> None:
    """Some entities have no SystemModstamp, or no Recycle Bin."""
    assert RecordShape.of(CONTACT).select[:4] == ("Id", "LastModifiedDate", "SystemModstamp", "IsDeleted")
    assert RecordShape.of(described("Log__c", field("Id", "id"))).select == ("Id",)


def test_fields_that_no_event_carries_are_not_in_the_event() -> None:
    """Nor those that no query returns with the others."""
    shape = RecordShape.of(
        described(
            "Note__c",
            *(field("Id", "id"), field("SystemModstamp", "datetime"), field("LastActivityDate", "date")),
            *(field("Body", "base64"), field("Old__c", deprecatedAndHidden=True), field("Sum__c", "double")),
        )
    )

    assert shape.select == ("Id", "SystemModstamp", "Sum__c")
    row = {"Id": "a00AB00000TEST1YAA", "SystemModstamp": "2025-01-01T00:00:00.000+0000", "Sum__c": 1}
    record = shape.record(row)
    assert record.fields == {"Sum__c": 1.0}
    assert record.system_modstamp == "2025-01-01T00:00:00.000Z"


def test_row_has_the_fields_of_a_change_event() -> None:
    """Parts have their short names, and an empty field is null."""
    row = {
        "Id": CONTACT_ID,
        "LastModifiedDate": "2025-01-01T00:00:00.000+0000",
        "Salutation": None,
        "FirstName": "Ida",
        "LastName": "Berg",
        "MailingCity": "Oslo",
        "Site__Latitude__s": 59.9,
        "Phone": None,
    }

    record = RecordShape.of(CONTACT).record(row)

    assert (record.entity, record.id, record.is_deleted) == ("Contact", CONTACT_ID, False)
    assert record.fields == {
        "LastModifiedDate": "2025-01-01T00:00:00.000Z",
        "Name": {"Salutation": None, "FirstName": "Ida", "LastName": "Berg"},
        "MailingAddress": {"City": "Oslo"},
        "Site__c": {"Latitude": 59.9},
        "Phone": None,
    }


@pytest.mark.parametrize(("flag", "name"), [("true", {"LastName": "Berg"}), ("false", "Acme"), ("", "Acme")])
def test_name_of_an_account_has_parts_only_where_it_is_a_person(flag: str, name: Any) -> None:
    """In an org with person accounts an account can be either."""
    row = {"Id": "001AB00000TEST1YAA", "Name": "Acme", "LastName": "Berg", "IsPersonAccount": flag}

    assert RecordShape.of(ACCOUNT).record(row).fields["Name"] == name


def test_name_of_a_contact_always_has_parts() -> None:
    """Also where the org has person accounts, and a contact tells whether it belongs to one."""
    describe = {**CONTACT, "fields": [*CONTACT["fields"], field("IsPersonAccount", "boolean")]}
    row = {"Id": CONTACT_ID, "LastName": "Berg", "IsPersonAccount": False}

    assert RecordShape.of(describe).record(row).fields["Name"] == {"LastName": "Berg"}


def test_preferences_of_a_user_are_the_names_of_those_that_are_set() -> None:
    """As change events for users have them."""
    row = {"Id": "005AB00000USER1YAA", "UserPreferencesApex": "true", "UserPreferencesPopup": "false"}
    fields = RecordShape.of(USER).record({**row, "EmailPreferencesAutoBcc": "false"}).fields

    assert fields == {"UserPreferences": ["Apex"], "EmailPreferences": []}


def test_deleted_row_says_so() -> None:
    """`queryAll` returns them too."""
    assert RecordShape.of(CONTACT).record({"Id": CONTACT_ID, "IsDeleted": "true"}).is_deleted


@pytest.mark.parametrize(
    ("names", "select"),
    [
        (["Phone"], ("Phone",)),
        (["MailingAddress"], ("MailingStreet", "MailingCity")),
        (["MailingCity"], ("MailingCity",)),
        (["Name.LastName"], ("LastName",)),
        (["Id", "LastModifiedDate"], ("LastModifiedDate",)),
    ],
)
def test_shape_can_be_limited_to_some_fields(names: list[str], select: tuple[str, ...]) -> None:
    """Under their names in the REST API, or in events."""
    limited = RecordShape.of(CONTACT).limited_to(names).select

    own = ("Id", "LastModifiedDate", "SystemModstamp", "IsDeleted")
    assert limited == (*own, *(name for name in select if name not in own))


def test_limit_to_unknown_fields_names_them() -> None:
    """A snapshot without them would be a mistake that nobody sees."""
    with pytest.raises(ValueError, match=r"Contact has no field Nmae, Phnoe that"):
        RecordShape.of(CONTACT).limited_to(["Phone", "Phnoe", "Nmae"])


def test_limited_account_still_tells_persons() -> None:
    """Its name can't be read otherwise."""
    assert RecordShape.of(ACCOUNT).limited_to(["Name"]).select == (
        "Id",
        "Name",
        "LastName",
        "IsPersonAccount",
    )


@pytest.mark.parametrize("row", [{}, {"Id": None}, {"Id": 7}, {"Id": "x" * 4_000}, {"Id": "not an id"}])
def test_row_without_an_id_is_refused(row: dict[str, Any]) -> None:
    """It could be any record."""
    with pytest.raises(UnreadableEvent, match="A row of the query of Contact has no record id"):
        RecordShape.of(CONTACT).record(row)


def test_refusal_of_a_value_names_the_field_and_not_the_value() -> None:
    """It can be personal."""
    row = {"Id": CONTACT_ID, "LastModifiedDate": "secret"}

    with pytest.raises(UnreadableEvent, match=f"^Contact {CONTACT_ID}: LastModifiedDate is not a date-time$"):
        RecordShape.of(CONTACT).record(row)


@given(
    st.lists(
        st.none()
        | st.fixed_dictionaries(
            {
                "name": st.sampled_from(["Id", "Name", "A__c", "A__B__s", "", "IsPersonAccount"])
                | st.integers()
            },
            optional={
                "type": st.sampled_from(["string", "location", "boolean"]) | st.lists(st.integers()),
                "compoundFieldName": st.none()
                | st.lists(st.integers())
                | st.sampled_from(["Name", "A__c", "", "Id"]),
            },
        ),
        max_size=6,
    )
)
def test_any_describe_has_a_shape(fields: list[Any]) -> None:
    """Its rows can be read with it."""
    shape = RecordShape.of({"name": "Account", "fields": fields})

    assert shape.select[0] == "Id"
    assert shape.record(dict.fromkeys(shape.select, "") | {"Id": "001AB00000TEST1YAA"}).entity == "Account"
