"""Records that were read become events like any other."""

from dataclasses import replace
from typing import Any

import orjson
import pytest

from streamer.cloud_events import attributes
from streamer.configuration.event_types import Carried
from streamer.events import Event, EventId, ReplayId
from streamer.log.records import decode_event, encode_event
from streamer.normalise import normaliser_for
from streamer.normalise.record_events import (
    OrgRecord,
    SnapshotRead,
    recovered_event,
    snapshot_deletion,
    snapshot_event,
)
from tests.messages import CHANGES, ORG, change, events_of
from tests.unit.protection.rules import protected, rule

RECORD = OrgRecord(
    entity="Contact",
    id="003AB00000TEST1YAA",
    fields={
        "Name": {"FirstName": None, "LastName": "Berg"},
        "Email": "ida@acme.com",
        "LastModifiedDate": "2020-02-29T12:00:00.000Z",
    },
    last_modified="2020-02-29T12:00:00.000Z",
)
READ = SnapshotRead(snapshot="s1", channel=CHANGES, position=ReplayId(b"4711"), read_at=1_735_689_600.5)
READ_AT = "2025-01-01T00:00:00.500Z"


def gaps(kind: str, *record_ids: str) -> list[Event]:
    """Return the events of one gap message about contacts."""
    message = change(12, *(record_ids or (RECORD.id,)), kind=kind, entity="Contact")
    return events_of(normaliser_for(CHANGES), message)


def recovered(kind: str, record: OrgRecord | None) -> Event:
    """Return what a gap event of one record becomes."""
    (gap,) = gaps(kind)
    return recovered_event(gap, record, read_at=READ.read_at)


def test_snapshot_event_holds_the_record_and_no_claim_about_a_change() -> None:
    """It has the time of the read: the record's own would be too old for the log."""
    event = snapshot_event(RECORD, READ)

    assert event == Event(
        id=EventId("s1:003AB00000TEST1YAA"),
        source=f"/salesforce/{ORG}",
        type="salesforce.cdc.Contact.snapshot",
        subject=RECORD.id,
        time=READ_AT,
        key=RECORD.id,
        channel="/data/ChangeEvents",
        replay_id=ReplayId(b"4711"),
        data={
            "record_id": RECORD.id,
            "entity": "Contact",
            "change": "SNAPSHOT",
            "fields": RECORD.fields,
            "changed_fields": [],
            "nulled_fields": [],
            "snapshot": {"id": "s1", "read_at": READ_AT},
        },
    )


def test_record_that_a_snapshot_finds_gone_is_a_deletion() -> None:
    """With an id of its own, because its row can be in the log already."""
    event = snapshot_deletion("Contact", RECORD.id, READ, deleted_at=1.5)

    assert (event.type, event.data["change"], event.data["fields"]) == (
        "salesforce.cdc.Contact.deleted",
        "DELETE",
        {},
    )
    assert event.is_deletion
    assert event.id != snapshot_event(RECORD, READ).id


@pytest.mark.parametrize(
    ("kind", "record", "event_type", "told"),
    [
        ("GAP_CREATE", RECORD, "created", "CREATE"),
        ("GAP_UPDATE", RECORD, "updated", "UPDATE"),
        ("GAP_UNDELETE", RECORD, "undeleted", "UNDELETE"),
        ("GAP_DELETE", RECORD, "undeleted", "UNDELETE"),
        ("GAP_UPDATE", None, "deleted", "DELETE"),
        ("GAP_DELETE", None, "deleted", "DELETE"),
        ("GAP_UPDATE", replace(RECORD, is_deleted=True), "deleted", "DELETE"),
    ],
)
def test_gap_becomes_its_change_or_a_deletion(
    kind: str, record: OrgRecord | None, event_type: str, told: str
) -> None:
    """A record that exists again, although its deletion is all that a gap tells, is undeleted."""
    event = recovered(kind, record)

    assert event.type == f"salesforce.cdc.Contact.{event_type}"
    assert event.data["change"] == told
    assert event.data["fields"] == ({} if told == "DELETE" else RECORD.fields)
    assert event.data["recovered"] == {"reason": kind, "read_at": READ_AT}
    assert event.is_deletion is (told == "DELETE")
    assert not event.is_gap


def test_recovered_event_stands_for_the_change_of_its_gap() -> None:
    """One for each record of a merged gap, at the gap's place and in its transaction."""
    for gap in gaps("GAP_UPDATE", "003A", "003B"):
        event = recovered_event(gap, RECORD, read_at=READ.read_at)

        assert event.id == f"{gap.id}:recovered"
        assert event.data["record_id"] == event.key == event.subject == gap.subject
        assert event.data["transaction"] == gap.data["transaction"]
        assert (event.time, event.replay_id) == (gap.time, gap.replay_id)
        assert event.data["changed_fields"] == event.data["nulled_fields"] == []


@pytest.mark.parametrize(
    ("kind", "record_id"), [("GAP_OVERFLOW", "000000000000000AAA"), ("UPDATE", "003*"), ("UPDATE", "003A")]
)
def test_change_of_many_records_can_not_be_recovered_as_one(kind: str, record_id: str) -> None:
    """Nor can an event that is not a gap."""
    (event,) = gaps(kind, record_id)

    with pytest.raises(ValueError, match=f"{kind} is not a gap in the changes of one record"):
        recovered_event(event, RECORD, read_at=READ.read_at)


EVENTS: list[Event] = [
    snapshot_event(RECORD, READ),
    snapshot_deletion("Contact", RECORD.id, READ, deleted_at=1.5),
    recovered("GAP_UPDATE", RECORD),
    recovered("GAP_UPDATE", None),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.id)
def test_event_travels_as_any_other(event: Event) -> None:
    """Through the log, as a CloudEvent, and to subscribers whose patterns match its type."""
    assert decode_event(encode_event(event)) == event
    assert all(attributes(event).values())
    assert event.type in set(Carried(kind="cdc", name=None).types("Contact"))


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.id)
@pytest.mark.parametrize("how", ["drop", "hash"])
def test_event_is_protected_as_any_other(event: Event, how: str) -> None:
    """Rules for the entity leave nothing of a field."""
    stored = protected(event, rule(how, "Email", "LastName", entity="Contact"))

    assert b"ida@acme.com" not in orjson.dumps(stored.data)
    assert b"Berg" not in orjson.dumps(stored.data)
    fields: Any = stored.data["fields"]
    assert fields == {} or fields["Name"]["FirstName"] is None
