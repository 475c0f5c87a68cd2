"""Rest of events of each kind after protection."""

import json
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.events import Channel, Event
from streamer.exact_json import exact_json
from streamer.normalise import normaliser_for
from streamer.protection import NotProtected, ProtectedEvents, Rules
from tests.messages import ORG, change, events_of, order
from tests.unit.protection.rules import READ, SETTINGS, event_on, fields_of, generic, protected, rule

NAME = {"FirstName": "Ida", "LastName": "Berg"}
ADDRESS = {"City": "Oslo", "PostalCode": "0150", "Street": None}


def changed(*names: str, **fields: Any) -> Event:
    """Return the event of a contact whose fields `names` changed to `fields`."""
    message = change(1, "003A", entity="Contact", **fields)
    message["data"]["payload"]["ChangeEventHeader"]["changedFields"] = [*names, "LastModifiedDate"]
    (event,) = events_of(READ, message)
    return event


def test_first_rule_that_names_a_field_decides() -> None:
    """So a list of what can be kept comes before a rule for all others."""
    rules = rule("keep", "Department"), rule("drop", "*")

    assert fields_of(*rules, Department="Sales", Email="ida@acme.com") == {"Department": "Sales"}


@pytest.mark.parametrize(
    ("entity", "is_about"),
    [
        ("Contact", True),
        ("contact", True),
        ("*", True),
        ("Con*", True),
        (["Lead", "Contact"], True),
        ("Lead", False),
    ],
)
def test_rule_is_about_the_entities_that_it_names(entity: Any, *, is_about: bool) -> None:
    """And leaves those of others as they are."""
    fields = fields_of(rule("drop", "Email", entity=entity), Email="ida@acme.com", Phone="1")

    assert ("Email" not in fields) is is_about


def test_rule_can_be_about_types_of_events() -> None:
    """Such as one way in which a record arrives."""
    only = rule("drop", "Email", entity=None, on="salesforce.*.Contact.created")

    assert fields_of(only, Email="x") == {"Email": "x"}
    (created,) = events_of(READ, change(1, "003A", kind="CREATE", entity="Contact", Email="x"))
    assert protected(created, only).data["fields"] == {}


@pytest.mark.parametrize(
    ("names", "left"),
    [
        (["Name"], {"MailingAddress": ADDRESS}),
        (["Name.LastName"], {"Name": {"FirstName": "Ida"}, "MailingAddress": ADDRESS}),
        (["LastName", "FirstName"], {"MailingAddress": ADDRESS}),
        (["Name", "MailingCity"], {"MailingAddress": {"PostalCode": "0150", "Street": None}}),
        (["Name", "Mailing*"], {}),
    ],
)
def test_parts_of_compound_fields_are_fields(names: list[str], left: dict[str, Any]) -> None:
    """One without parts is gone."""
    assert fields_of(rule("drop", *names), Name=NAME, MailingAddress=ADDRESS) == left


def test_each_part_of_a_compound_field_is_treated() -> None:
    """One by one, and a cleared one stays cleared."""
    fields = fields_of(rule("mask", "MailingAddress"), MailingAddress=ADDRESS)

    assert fields == {"MailingAddress": {"City": "***", "PostalCode": "***", "Street": None}}


def test_name_of_a_dropped_field_is_nowhere() -> None:
    """As for a user who can't see the field."""
    event = changed("Email", "Phone", "Name.LastName", Email=None, Phone=None, Name={"LastName": None})
    data = protected(event, rule("drop", "Email", "LastName")).data

    assert data["changed_fields"] == ["Phone", "LastModifiedDate"]
    assert data["nulled_fields"] == ["Phone"]
    assert data["fields"] == {"Phone": None}


@pytest.mark.parametrize("how", ["mask", "hash"])
def test_names_of_other_fields_stay(how: str) -> None:
    """A consumer sees what changed."""
    data = protected(changed("Email", "Phone", Email="x", Phone=None), rule(how, "Email", "Phone")).data

    assert data["changed_fields"] == ["Email", "Phone", "LastModifiedDate"]
    assert data["nulled_fields"] == ["Phone"]


@pytest.mark.parametrize("header", [{"Email": "ida@acme.com"}, [{"Email": "ida@acme.com"}], "ida@acme.com"])
def test_names_that_are_none_are_left_out(header: Any) -> None:
    """The header is Salesforce's, and not checked."""
    message = change(1, "003A", entity="Contact", Email="ida@acme.com")
    message["data"]["payload"]["ChangeEventHeader"]["changedFields"] = header
    (event,) = events_of(READ, message)

    assert b"ida" not in orjson.dumps(protected(event, rule("drop", "Email")).data)


@pytest.mark.parametrize("how", ["mask", "hash", "drop"])
def test_diff_of_a_protected_text_is_dropped(how: str) -> None:
    """It holds lines of the text, and the SHA-256 of all of it."""
    event = changed("Description", Description={"diff": "--- \n+++ 0\n"}, Notes__c={"diff": "--- \n+++ 1\n"})
    data = protected(event, rule(how, "Description")).data

    assert data["fields"] == {"Notes__c": {"diff": "--- \n+++ 1\n"}}
    assert data["diff_fields"] == ["Notes__c"]
    assert "diff_fields" not in protected(event, rule(how, "*")).data


def test_date_of_a_record_that_was_read_again_is_a_field() -> None:
    """It is the record's LastModifiedDate."""
    event = changed(Description="long")
    event.data["reread"] = {"fields": ["Description"], "last_modified": "2025-01-01T00:00:09Z"}

    reread = protected(event, rule("drop", "LastModifiedDate")).data["reread"]
    assert reread == {"fields": ["Description"]}


def test_values_of_the_header_can_be_protected() -> None:
    """The user and the client of a change."""
    rules = (
        rule("hash", data="transaction.user"),
        rule("drop", data=["transaction.origin", "transaction.commit_number"]),
    )
    transaction = protected(changed(Phone="1"), *rules).data["transaction"]

    assert transaction.keys() == {"key", "sequence", "user"}
    assert transaction["user"].startswith("k1:")


def test_records_of_one_message_are_protected_each() -> None:
    """Their fields are equal, and shared by none of them."""
    first, second = ProtectedEvents(Rules([rule("hash", "Email")], SETTINGS)).of(
        events_of(READ, change(1, "003A", "003B", entity="Contact", Email="ida@acme.com"))
    )
    assert isinstance(first, Event)
    assert isinstance(second, Event)
    assert first.data["fields"] == second.data["fields"]
    assert first.data["fields"] is not second.data["fields"]
    assert (first.key, second.data["record_id"]) == ("003A", "003B")


def test_event_without_a_protected_field_is_itself() -> None:
    """Nothing is copied."""
    event = changed(Phone="1")

    assert protected(event, rule("hash", "Email")) is event
    assert protected(event, rule("hash", "Email", entity="Lead")) is event


@pytest.mark.parametrize(("how", "key"), [("hash", "k1:"), ("drop", "6f0c1d2e"), ("keep", "A-17")])
def test_key_of_a_platform_event_is_protected_with_its_field(how: str, key: str) -> None:
    """Hashed keys order events as the values do."""
    event = event_on("/event/Order_Placed__e", order(1, Order_No__c="A-17")["data"], key="Order_No__c")
    stored = protected(event, rule(how, "Order_No__c", entity="Order_Placed__e"), key="Order_No__c")

    assert stored.key.startswith(key)
    assert stored.data["entity"] == "Order_Placed__e"


def test_outbound_message_has_the_parts_of_compound_fields_by_their_other_names() -> None:
    """A rule for the compound field means them."""
    fields = {"Id": "00QAB00000TEST1YAA", "FirstName": "Ida", "City": "Oslo", "Status": "Open"}
    message = {
        "notification_id": "04lAB00000TEST1YAA",
        "entity": "Lead",
        "fields": fields,
        "received_ms": 1_735_689_600_000,
        "organization_id": ORG,
        "action_id": "04kAB00000TEST1YAA",
    }
    (event,) = events_of(normaliser_for(Channel(org=ORG, path="/outbound/leads")), message)
    data = protected(event, rule("drop", "Name", "Address"), rule("hash", data="action_id")).data

    assert data["fields"] == {"Status": "Open"}
    assert data["action_id"].startswith("k1:")


def test_notification_keeps_the_id_that_is_its_key() -> None:
    """All other fields of its topic can be protected, by the topic's name."""
    about = {"createdDate": "2025-01-01T00:00:00.173Z", "replayId": 13, "type": "created"}
    sobject = {"Id": "a00AB00000TEST1YAA", "Name": "INV-1"}
    event = event_on("/topic/OpenInvoices", {"event": about, "sobject": sobject})

    assert protected(event, rule("drop", "*", entity="OpenInvoices")).data["fields"] == {"Id": sobject["Id"]}


@pytest.mark.parametrize("as_text", [False, True])
def test_members_of_a_generic_payload_are_fields(*, as_text: bool) -> None:
    """At any depth, in lists too, and in text that holds JSON."""
    payload = {
        "no": 1,
        "customer": {"mail": "ida@acme.com", "tags": ["a"]},
        "lines": [{"mail": "b"}, {"sku": "x"}],
    }
    event = generic(orjson.dumps(payload).decode() if as_text else payload)
    stored = protected(event, rule("drop", "customer.mail", "lines.mail")).data["payload"]

    left = {"no": 1, "customer": {"tags": ["a"]}, "lines": [{"sku": "x"}]}
    assert (orjson.loads(stored) if as_text else stored) == left


NUMBERS = (
    "12345678901234567890123,-9223372036854775809,18446744073709551615,0.10000000000000000001,1.50,1E-400"
)


def test_numbers_in_text_keep_their_digits() -> None:
    """A text can hold more than a float: long numbers of accounts, and sums to the cent."""
    event = generic(f'{{"mail": "ida@acme.com", "n": [{NUMBERS}]}}')

    assert protected(event, rule("drop", "mail")).data["payload"] == f'{{"n":[{NUMBERS}]}}'


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("12345678901234567890123", "12345678901234567890123"),
        ("12345678901234567890123.00", "12345678901234567890123"),
        ("0.10000000000000000001", "0.10000000000000000001"),
        ("-1.50", "-1.5"),
        ("1.2e1", "12"),
        ("1e+23", "100000000000000000000000"),
        ("1E23", "100000000000000000000000"),
        ("100000000000000000000000", "100000000000000000000000"),
        ("1.152921504606847e+18", "1152921504606847000"),
        ("1152921504606847000", "1152921504606847000"),
        ("-0.00", "0"),
        ("100e-999999999", "1E-999999997"),
    ],
)
def test_hash_of_a_number_in_text_is_that_of_its_digits(text: str, digits: str) -> None:
    """Numbers that are equal have one hash, others have others, and none takes a gigabyte."""
    hashed = [
        orjson.loads(protected(generic(f'{{"n": {each}}}'), rule("hash", "n")).data["payload"])["n"]
        for each in (text, f'"{digits}"')
    ]

    assert hashed[0] == hashed[1]


def test_key_is_the_same_with_and_without_rules() -> None:
    """Or the events of a key would change their partition."""
    event = generic('{"who": 12345678901234567890123, "n": 1.50}', key="who")

    assert protected(event, rule("drop", "n"), key="who").key == event.key


@given(
    st.recursive(
        st.decimals(allow_nan=False, allow_infinity=False).filter(lambda number: abs(number) < 10**300),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )
)
def test_any_numbers_are_written_as_they_were_read(value: Any) -> None:
    """As another parser finds, which is exact."""
    event = generic(exact_json({"mail": "ida@acme.com", "v": value}).decode())
    stored = protected(event, rule("drop", "mail")).data["payload"]

    assert json.loads(stored, parse_float=Decimal, parse_int=Decimal) == {"v": value}


def test_payload_can_be_protected_as_a_whole() -> None:
    """Text of people, in which no field can be named."""
    whole = rule("hash", data="payload")

    assert protected(generic("call Ida"), whole).data["payload"].startswith("k1:")
    assert protected(generic({"to": "Ida"}), whole).data["payload"]["to"].startswith("k1:")
    assert protected(generic("call Ida"), rule("drop", data="payload")).data == {"entity": "Notes"}


@pytest.mark.parametrize("text", ["call Ida", "[2025-01-01] call Ida", "{Ida}", "12", ""])
def test_text_without_members_stays(text: str) -> None:
    """A rule for a field says nothing about it."""
    assert protected(generic(text), rule("drop", "mail")).data["payload"] == text


def test_repeated_member_leaves_nothing() -> None:
    """JSON can name a member twice, and a reader can take either."""
    event = generic('{"mail": "ida@acme.com", "mail": null}')

    assert protected(event, rule("hash", "mail")).data["payload"] == '{"mail":null}'


@pytest.mark.parametrize(
    "payload", ['{"mail": "ida@acme.com"', '[1, {"mail": NaN}]', '{"a":' * 70 + "1" + "}" * 70]
)
def test_payload_that_only_resembles_json_is_not_stored(payload: str) -> None:
    """Its members can't be told apart, and the error quotes none."""
    (found,) = ProtectedEvents(Rules([rule("drop", "mail")], SETTINGS)).of([generic(payload)])

    assert isinstance(found, NotProtected)
    assert "ida" not in str(found)


def test_key_of_a_generic_event_is_protected_with_its_member() -> None:
    """Also where the member is an object."""
    event = generic('{"who": {"mail": "ida@acme.com", "no": 7}}', key="who")

    assert protected(event, rule("drop", "who.mail"), key="who").key == "{'no': 7}"
    assert protected(event, rule("drop", data="payload"), key="who").key == event.id
