"""Masked data for analytics: the log identifies no person, and leads and contacts can still be joined."""

import hashlib
import hmac
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson

from streamer.app.plan import plan
from streamer.clock import SystemClock
from streamer.sandbox import Sandbox
from tests.integration.examples.running import Example, bytes_in
from tests.waiting import until

EXAMPLE = Example(name="analytics-masked.yaml")
KEY = "an-invented-key-of-32-characters"
SECRETS = {"PROTECTION_KEY": KEY, "KAFKA_PASSWORD": "invented"}

PERSON = {
    "FirstName": "Ingebjørg",
    "LastName": "Bergsdotter",
    "Email": "Ingebjorg@ACME.example",
    "Phone": "+47 22 33 44 55",
    "MobilePhone": "+47 99 88 77 66",
    "Description": "Prefers to be called Inga",
}
COMPANY = {
    "Name": "Acme AS",
    "Phone": "+47 11 22 33 44",
    "Description": "Inga's employer",
    "Industry": "Energy",
}
OF_CONTACT = {"MailingStreet": "Bergveien 17", "MailingCity": "Nesodden", "MailingCountry": "Norway"}
OF_LEAD = {"Company": "Acme AS", "Street": "Bergveien 17", "City": "Nesodden", "Country": "Norway"}
PRIVATE = [
    *PERSON.values(),
    *(text.strip() for text in PERSON.values()),
    "ngebjorg@acme",
    "Bergveien",
    "Nesodden",
    "11 22 33",
    "Inga",
]


def change_records(sandbox: Sandbox) -> None:
    """Write what a day brings: a company, a contact, a lead, an update and a deletion."""
    with sandbox.org.transaction() as transaction:
        account = transaction.create("Account", COMPANY)
        contact = transaction.create("Contact", PERSON | OF_CONTACT | {"AccountId": account})
        lead = transaction.create("Lead", PERSON | OF_LEAD | {"Email": "ingebjorg@acme.example"})
    with sandbox.org.transaction() as transaction:
        transaction.update(
            "Contact", contact, {"Phone": None, "LastName": "Bergsdotter Dahl", "Title": "CEO"}
        )
        transaction.delete("Lead", lead)


def events_in(log: Path) -> list[dict[str, Any]]:
    """Return the events of a log, as a party that is not ours reads them."""
    with closing(sqlite3.connect(log)) as connection:
        rows = connection.execute("SELECT body FROM events ORDER BY seq").fetchall()
    return [orjson.loads(row[0]) for row in rows]


async def test_no_person_is_in_the_log(tmp_path: Path) -> None:
    """Not in any byte of its files, and not in the process's own log; what a report needs is there."""
    async with Sandbox(SystemClock()) as sandbox, EXAMPLE.running(sandbox, tmp_path, **SECRETS):
        change_records(sandbox)

        async def are_stored() -> bool:
            return len(events_in(tmp_path / "log.db")) == 5

        await until(are_stored)
        stored = bytes_in(tmp_path)
    events = events_in(tmp_path / "log.db")
    assert [text for text in PRIVATE if text.encode() in stored] == []

    by_type = {event["type"].removeprefix("salesforce.cdc."): event["data"] for event in events}
    contact, lead = by_type["Contact.created"]["fields"], by_type["Lead.created"]["fields"]
    digest = hmac.new(KEY.encode(), b"ingebjorg@acme.example", hashlib.sha256).hexdigest()
    assert contact["Email"] == lead["Email"] == f"2026:{digest}"
    assert contact["MailingAddress"] == {"Country": "Norway"}
    assert lead["Address"] == {"Country": "Norway"}
    assert by_type["Account.created"]["fields"]["Industry"] == "Energy"
    updated = by_type["Contact.updated"]
    assert updated["fields"]["Phone"] is None
    assert updated["fields"]["Title"] == "CEO"
    assert "Name.LastName" not in updated["changed_fields"]
    assert by_type["Lead.deleted"]["transaction"]["user"].startswith("2026:")


def test_example_is_valid_as_it_stands() -> None:
    """With its log in Kafka, and without a rule that protects nothing."""
    checked = plan(
        EXAMPLE.document(SECRETS | {"SF_LOGIN_URL": "https://acme.my.salesforce.com"}), SystemClock()
    )

    assert checked.warnings == ()
    assert EXAMPLE.schema_mistakes() == []
