"""Change messages become events."""

import copy
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.events import Unreadable
from streamer.normalise import normaliser_for
from tests.messages import CHANGES, change, events_of

READ = normaliser_for(CHANGES)

NAMES = st.from_regex(r"[A-Z][A-Za-z0-9]{0,10}(__c)?", fullmatch=True).filter(
    lambda n: n != "ChangeEventHeader"
)
VALUES = (
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.dictionaries(NAMES, st.none() | st.text())
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def test_change_of_one_record_is_one_event() -> None:
    """The event has the id, type, subject, time, key and position that the header gives."""
    (event,) = events_of(READ, change(4711, "001A", Phone="1"))

    assert event.id == "t1-4711:1:001A"
    assert event.source == "/salesforce/00DXX0000000001EAA"
    assert event.type == "salesforce.cdc.Account.updated"
    assert (event.subject, event.key) == ("001A", "001A")
    assert event.time == "2025-01-01T00:00:04.711Z"
    assert (event.channel, event.replay_id) == ("/data/ChangeEvents", b"4711")
    assert event.data["transaction"]["origin"] == "com/salesforce/api/rest/61.0;client=erp-sync"


def test_merged_change_is_one_event_for_each_record_in_order() -> None:
    """All of them carry the same replay id and fields, and ids of their own."""
    events = events_of(READ, change(1, "001A", "001B", "001C", Phone="1"))

    assert [event.subject for event in events] == ["001A", "001B", "001C"]
    assert [event.data["record_id"] for event in events] == ["001A", "001B", "001C"]
    assert len({event.id for event in events}) == 3
    assert {event.replay_id for event in events} == {b"1"}


def test_records_of_one_message_own_their_data() -> None:
    """A value written into one event is in no other."""
    address = {"City": "Graz", "diff": {"diff": "--- a"}}
    first, second, third = events_of(READ, change(1, "001A", "001B", "001C", Phone=None, Address=address))
    untouched = copy.deepcopy([second.data, third.data])

    overwrite(first.data)

    assert [second.data, third.data] == untouched


def overwrite(value: Any) -> None:
    """Change every list and dict in `value`."""
    match value:
        case dict():
            for inner in list(value.values()):
                overwrite(inner)
            value["written"] = True
        case list():
            value.append("written")


def ids(count: int, length: int = 18) -> list[str]:
    """Return ids of as many records."""
    return [f"001{number:0{length - 3}}" for number in range(count)]


def test_change_of_thousands_of_records_is_an_event_for_each() -> None:
    """A transaction can have so many."""
    assert len(events_of(READ, change(1, *ids(10_000), Description="x" * 1_000))) == 10_000


@pytest.mark.parametrize(
    ("record_ids", "text", "told"),
    [
        (ids(60_001), "", "60001 recordIds"),
        (ids(10_000), "x" * 20_000, "have more than"),
        (ids(1_000, length=7), "", "not a record id"),
    ],
)
def test_change_that_would_become_gigabytes_is_unreadable(
    record_ids: list[str], text: str, told: str
) -> None:
    """Each event carries all fields, so a megabyte can stand for ten thousand times as much."""
    [piece] = READ([change(1, *record_ids, Description=text)])

    assert isinstance(piece, Unreadable)
    assert told in piece.error


@pytest.mark.parametrize("name", ["entityName", "transactionKey", "recordIds"])
def test_names_and_ids_are_short(name: str) -> None:
    """They are kept in caches that count them, and not their bytes."""
    message = change(1)
    long = "A" * 300
    header = message["data"]["payload"]["ChangeEventHeader"]
    header[name] = [long] if name == "recordIds" else long

    assert isinstance(READ([message])[0], Unreadable)


def test_cleared_fields_and_parts_are_named() -> None:
    """A key that is present with null was cleared, in a compound field too."""
    (event,) = events_of(
        READ, change(1, Phone=None, Name="Acme", BillingAddress={"City": "Oslo", "State": None})
    )

    assert event.data["nulled_fields"] == ["Phone", "BillingAddress.State"]
    assert event.data["fields"]["BillingAddress"] == {"City": "Oslo", "State": None}


def test_diffs_are_named() -> None:
    """A text whose diff alone came differs from a compound field, and from its own value."""
    (event,) = events_of(
        READ, change(1, Description={"diff": "@@"}, BillingAddress={"Street": {"diff": "@@"}, "City": None})
    )

    assert event.data["diff_fields"] == ["Description", "BillingAddress.Street"]
    assert event.data["nulled_fields"] == ["BillingAddress.City"]
    assert event.data["fields"]["Description"] == {"diff": "@@"}


@pytest.mark.parametrize("value", ["@@", {"diff": 1}, {"diff": None}, {"diff": "@@", "City": "Oslo"}, {}])
def test_event_without_a_diff_names_none(value: Any) -> None:
    """The key is absent then, since hardly any event has one."""
    (event,) = events_of(READ, change(1, Description=value, BillingAddress={"City": "Oslo"}))

    assert "diff_fields" not in event.data


@pytest.mark.parametrize(
    ("kind", "record_id", "word"),
    [
        ("CREATE", "001A", "created"),
        ("UPDATE", "001A", "updated"),
        ("DELETE", "001A", "deleted"),
        ("UNDELETE", "001A", "undeleted"),
        ("GAP_UPDATE", "001A", "gap"),
        ("GAP_OVERFLOW", "000000000000000AAA", "gap"),
        ("UPDATE", "001*", "gap"),
        ("SNAPSHOT", "001A", "snapshot"),
    ],
)
def test_change_type_is_the_last_word_of_the_type(kind: str, record_id: str, word: str) -> None:
    """A conversion of all records of a type is a gap, for the event can't say what changed."""
    (event,) = events_of(READ, change(1, record_id, kind=kind))

    assert event.type == f"salesforce.cdc.Account.{word}"


def test_message_without_changed_fields_is_read() -> None:
    """Endpoints before version 47 leave changedFields out."""
    message = change(1, Phone="1")
    del message["data"]["payload"]["ChangeEventHeader"]["changedFields"]

    assert events_of(READ, message)[0].data["changed_fields"] == []


@given(
    fields=st.dictionaries(NAMES, VALUES, max_size=6),
    records=st.lists(st.from_regex(r"001[A-Z]{3}", fullmatch=True), min_size=1, max_size=4, unique=True),
)
def test_every_field_reaches_every_record(fields: dict[str, Any], records: list[str]) -> None:
    """Nothing is dropped, renamed or changed, the message stays as it was, and the data are JSON."""
    message = change(7, *records, **fields)
    before = copy.deepcopy(message)

    events = events_of(READ, message)

    assert message == before
    assert [event.subject for event in events] == records
    for event in events:
        assert event.data["fields"] == fields
        assert orjson.loads(orjson.dumps(event.data)) == event.data


@given(message=ANYTHING, place=st.sampled_from(["", "data", "payload", "header", "event", "ids"]))
def test_whatever_comes_is_read_or_named_unreadable(message: Any, place: str) -> None:
    """No shape of message raises anything else."""
    whole = change(1)
    targets = {
        "data": (whole, "data"),
        "payload": (whole["data"], "payload"),
        "event": (whole["data"], "event"),
    }
    targets["header"] = (whole["data"]["payload"], "ChangeEventHeader")
    targets["ids"] = (whole["data"]["payload"]["ChangeEventHeader"], "recordIds")
    if place:
        holder, key = targets[place]
        holder[key] = message
    read = READ([whole if place else message])

    assert read
    assert len(read) == 1 or not any(isinstance(item, Unreadable) for item in read)


@pytest.mark.parametrize(
    "name", ["entityName", "recordIds", "changeType", "transactionKey", "sequenceNumber", "commitTimestamp"]
)
@pytest.mark.parametrize("value", [None, [], {}, 1.5, "../etc"])
def test_header_of_another_shape_is_unreadable(name: str, value: Any) -> None:
    """An id, a type or a time is never made up from an invalid value."""
    message = change(1)
    message["data"]["payload"]["ChangeEventHeader"][name] = value
    if name == "transactionKey" and value == "../etc":
        return
    [piece] = READ([message])

    assert isinstance(piece, Unreadable)
    assert piece.raw == orjson.dumps(message)


def test_unreadable_message_that_is_nested_deeply_keeps_its_bytes() -> None:
    """Parsing goes deeper than writing does."""
    nested: Any = orjson.loads("[" * 400 + "]" * 400)
    message = change(1)
    message["data"]["payload"]["ChangeEventHeader"]["recordIds"] = nested

    [piece] = READ([message])

    assert isinstance(piece, Unreadable)
    assert b"[" * 400 in piece.raw


@pytest.mark.parametrize("commit", [253_402_300_800_000, -1])
def test_commit_outside_of_the_calendar_is_unreadable(commit: int) -> None:
    """The year 10000 has no RFC 3339 form."""
    message = change(1)
    message["data"]["payload"]["ChangeEventHeader"]["commitTimestamp"] = commit

    [piece] = READ([message])

    assert isinstance(piece, Unreadable)


def test_deep_message_is_unreadable_or_an_event() -> None:
    """Nesting that JSON readers take and writers refuse ends nothing."""
    deep: object = 1
    for _ in range(400):
        deep = [deep]
    message = change(1)
    message["data"]["payload"]["Name"] = deep
    del message["data"]["payload"]["ChangeEventHeader"]

    [piece] = READ([message])

    assert isinstance(piece, Unreadable)
    assert piece.raw.count(b"[") >= 400
