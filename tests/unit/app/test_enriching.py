"""Look-ups with mistakes are refused when the configuration loads, by file, line and key."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from streamer.app.plan import effective, plan
from streamer.clock import TurnedClock
from streamer.configuration import load_document
from streamer.dispatch.delivery.route import event_document
from streamer.dispatch.forwarding import receipts_of
from streamer.events import SubscriberName
from tests.contracts.values import an_event
from tests.unit.app.test_plan import GOOD, lines_of, subscriber

SOUND = "{sobject: Account, id: data.fields.AccountId, fields: [Name]}"


SERVICE = (
    "{http: {url: 'https://crm.acme.com/c/{id}', auth: {kind: bearer, token: sesame}}, "
    "id: data.fields.ERP_Id__c, fields: [name]}"
)
RECORD = "record: {fields: [AccountId]}"
OF_RECORD = "account: {sobject: Account, id: record.AccountId, fields: [Name]}"
TAKEN = "expressions already use this name for something else"
MISSING = "only the look-up record works without sobject and id"
LATE = "reads a look-up that runs later"


def said(tmp_path: Path, enrich: str, more: str = "") -> list[str]:
    """Return the lines that these look-ups are refused with."""
    lines = lines_of(tmp_path, subscriber(f"enrich: {enrich}{more}"))
    return [line.removeprefix("streamer.yaml:8: subscribers.sales.") for line in lines]


def test_sound_lookups_are_compiled_with_what_they_need(tmp_path: Path) -> None:
    """In the order in which they can be made."""
    path = tmp_path / "streamer.yaml"
    path.write_text(subscriber(f"enrich: {{{RECORD}, {OF_RECORD}}}\n    when: account.Name"))
    checked = plan(load_document([path]), TurnedClock())

    [(name, source)] = checked.enrichments.items()
    assert [(each.name, each.sobject, each.needs) for each in source.lookups] == [
        ("record", None, frozenset()),
        ("account", "Account", {"record"}),
    ]
    assert checked.routes[name].when_needs_lookups
    assert checked.org_users == {"sales"}


def test_lookup_can_read_its_id_from_a_receipt(tmp_path: Path) -> None:
    """Of a subscriber upstream."""
    path = tmp_path / "streamer.yaml"
    later = SOUND.replace("data.fields.AccountId", "receipts.sales.AccountId")
    settings = GOOD.splitlines()[-1]
    path.write_text(
        f"{GOOD}  later:\n    uses: slack\n    after: sales\n    enrich: {{account: {later}}}\n{settings}\n"
    )
    [lookup] = plan(load_document([path]), TurnedClock()).enrichments[SubscriberName("later")].lookups

    receipts = {"sales": {"outcome": "delivered", "answer": {"AccountId": "001A"}}}
    event = replace(an_event("1"), receipts=receipts)
    assert lookup.record_id is not None
    assert lookup.record_id(event_document(event, receipts_of(event))) == "001A"


def test_event_can_be_for_a_subscriber_whose_when_reads_a_record(tmp_path: Path) -> None:
    """A redrive asks this about later events, and has no record."""
    admitted = {}
    for when in ("account.Name == 'x'", "id == 'x'"):
        path = tmp_path / "streamer.yaml"
        path.write_text(subscriber(f"enrich: {{account: {SOUND}}}\n    when: {when}"))
        checked = plan(load_document([path]), TurnedClock())
        admitted[when] = checked.admits(SubscriberName("sales"))(an_event("1"))
    assert admitted == {"account.Name == 'x'": True, "id == 'x'": False}


def test_subscriber_without_lookups_has_none(tmp_path: Path) -> None:
    """Nor does a change of the org concern it."""
    path = tmp_path / "streamer.yaml"
    path.write_text(GOOD)
    checked = plan(load_document([path]), TurnedClock())
    assert (checked.enrichments, checked.org_users) == ({}, frozenset())


@pytest.mark.parametrize(
    ("enrich", "expected"),
    [
        ("{data: " + SOUND + "}", f"data: {TAKEN}: data; choose another name for this look-up"),
        ("{receipts: " + SOUND + "}", f"receipts: {TAKEN}: receipts; choose another name for this look-up"),
        (
            "{account: {id: data.fields.AccountId, fields: [Name]}}",
            f"account.sobject: is missing: write for example Account; {MISSING}",
        ),
        (
            "{account: {sobject: Account, fields: [Name]}}",
            f"account.id: is missing: write for example data.fields.AccountId; {MISSING}",
        ),
        (
            f"{{{OF_RECORD}, {RECORD}}}",
            f"account.id: {LATE}: record; move this look-up below record",
        ),
        (
            "{account: {sobject: Account, id: account.Id, fields: [Name]}}",
            f"account.id: {LATE}: account; move this look-up below account",
        ),
    ],
)
def test_mistake_between_the_keys_is_named(tmp_path: Path, enrich: str, expected: str) -> None:
    """With the remedy."""
    assert said(tmp_path, enrich) == [f"enrich.{expected}"]


OF_STATE = "{state: Account, id: data.fields.AccountId, fields: [Name]}"
KEPT = "state: {objects: [Account]}\n"


def test_lookup_of_a_state_needs_no_org(tmp_path: Path) -> None:
    """Without an id, it reads the event's own record."""
    path = tmp_path / "streamer.yaml"
    lookups = f"{{account: {OF_STATE}, whole: {{state: Account, fields: [Name]}}}}"
    text = KEPT + subscriber(f"enrich: {lookups}")
    path.write_text(re.sub(r"(?m)^    on: .*", "    on: salesforce.cdc.Account.*", text))
    checked = plan(load_document([path]), TurnedClock())

    [source] = checked.enrichments.values()
    assert [(each.sobject, each.of_states, each.record_id is None) for each in source.lookups] == [
        ("Account", True, False),
        ("Account", True, True),
    ]
    assert checked.org_users == frozenset()


@pytest.mark.parametrize(
    ("lookup", "expected"),
    [
        (
            "{state: Contact, id: data.fields.ContactId, fields: [Name]}",
            "state: Streamer keeps no states of Contact: add Contact to state.objects",
        ),
        (
            "{state: Account, sobject: Account, id: id, fields: [Name]}",
            "sobject: has no effect with state: set either state or sobject",
        ),
        (
            "{state: Account, fields: [Name]}",
            (
                "id: is missing: write for example data.fields.AccountId; "
                "without id, on may only have types such as salesforce.cdc.Account.*"
            ),
        ),
        (
            SERVICE.replace("{http", "{state: Account, http"),
            "state: has no effect with http: set either http or state",
        ),
    ],
)
def test_lookup_of_a_state_that_can_not_be_made_is_refused(
    tmp_path: Path, lookup: str, expected: str
) -> None:
    """With the remedy."""
    lines = lines_of(tmp_path, KEPT + subscriber(f"enrich: {{account: {lookup}}}"))
    assert [line.removeprefix("streamer.yaml:9: subscribers.sales.enrich.account.") for line in lines] == [
        expected
    ]


def test_lookup_in_a_service_needs_no_org(tmp_path: Path) -> None:
    """Its service is made of its settings, and those with the same ones share it."""
    path = tmp_path / "streamer.yaml"
    two = f"{{one: {SERVICE}, same: {SERVICE}, other: {SERVICE.replace('[name]', '[tier]')}}}"
    path.write_text(subscriber(f"enrich: {two}"))
    checked = plan(load_document([path]), TurnedClock())

    [source] = checked.enrichments.values()
    one, same, other = (each.service for each in source.lookups)
    assert one == same != other
    assert checked.org_users == frozenset()
    assert one is not None
    assert one.make(TurnedClock()).preview("47/11").request == "GET https://crm.acme.com/c/47%2F11"
    shown = effective(checked)
    assert "sesame" not in shown
    assert "https://crm.acme.com/c/{id}" in shown
    # With what applies where nothing is written.
    assert shown.count("max_in_flight: 8") == 3


@pytest.mark.parametrize(
    ("written", "instead", "expected"),
    [
        ("id: data.fields.ERP_Id__c, ", "", "id: is missing: write for example data.fields.ERP_Id__c"),
        ("fields: [name]", "fields: [name], sobject: Account", "sobject: has no effect with http"),
        ("[name]", "[name, Name]", "fields: two names differ only in upper and lower case: name and Name"),
        ("/c/{id}", "/c", "url does not contain {id}: add it, or set batch"),
        ("/c/{id}", "/{c}/{id}", "url must contain {id} once, in its path or query, and no other braces"),
        ("crm.acme.com/c/{id}", "{id}.acme.com/c", "url must contain {id} once, in its path or query"),
        ("https://crm.acme.com", "https://10.1.2.3", "url names a private address"),
        ("https://", "http://", "url is plain http"),
        ("auth", "result: 'a..b', auth", "http.result: "),
        ("auth", "batch: {query: ids}, auth", "url contains {id}, but batch sends the ids in another place"),
        (
            "/c/{id}', auth",
            "/c', batch: {}, auth",
            "set only one of query and body, because the ids are sent in one place",
        ),
        ("auth", "cash_s: 1, auth", "http.cash_s: no such key"),
        ("token: sesame", "token: ", "http.auth.token: "),
    ],
)
def test_mistake_in_a_service_is_named(tmp_path: Path, written: str, instead: str, expected: str) -> None:
    """By its key, and without a secret."""
    assert written in SERVICE
    lines = said(tmp_path, "{customer: " + SERVICE.replace(written, instead) + "}")
    assert expected in lines[0], lines
    assert lines[0].startswith("enrich.customer.")
    assert len(lines) == 1


def test_expression_of_an_id_is_checked_as_all_are(tmp_path: Path) -> None:
    """With a caret below its column."""
    first, expression, _ = said(tmp_path, "{account: {sobject: Account, id: 'data..x', fields: [Name]}}")
    assert first == ("enrich.account.id: is not a JMESPath expression: . is not expected here (column 6)")
    assert expression.strip() == "data..x"


@pytest.mark.parametrize(
    ("enrich", "key"),
    [
        ("{account: {sobject: Account, id: subject, fields: []}}", "enrich.account.fields"),
        ("{account: {sobject: Account, id: subject, fields: [Owner.Name]}}", "enrich.account.fields.0"),
        ("{account: {sobject: ../Account, id: subject, fields: [Name]}}", "enrich.account.sobject"),
        ("{account: {sobject: Account, id: subject, fields: [Name], cached: no}}", "enrich.account.cached"),
        ("{my-account: " + SOUND + "}", "enrich.my-account"),
    ],
)
def test_key_of_another_form_is_refused(tmp_path: Path, enrich: str, key: str) -> None:
    """Before Salesforce is asked with it."""
    [line] = said(tmp_path, enrich)
    assert line.startswith(f"{key}: ")


def test_record_needs_events_of_records(tmp_path: Path) -> None:
    """A platform event has none of its own."""
    text = subscriber("enrich: {record: {fields: [Name]}}").replace(
        "on: salesforce.cdc.Opportunity.updated", "on: salesforce.event.Order_Placed__e"
    )
    text = text.replace("[/data/ChangeEvents]", "[/data/ChangeEvents, /event/Order_Placed__e]")
    [line] = lines_of(tmp_path, text)
    assert line.endswith("enrich.record: the event types in on have no record: set sobject and id")


def test_template_knows_the_names_of_lookups(tmp_path: Path) -> None:
    """And of no other."""
    text = '\n    text: "{{ account.Name }} {{ lookups.account }} {{ acount.Name }}"'
    [line] = said(tmp_path, "{account: " + SOUND + "}", text)
    assert "acount; did you mean account?" in line
