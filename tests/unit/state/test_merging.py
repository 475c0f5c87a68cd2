"""One event, applied to the state of its record."""

from dataclasses import replace
from typing import Any

import pytest

from streamer.events import Entry, Event, EventId, Partition, RecordState, ReplayId
from streamer.state.merging import Unapplied, applied, merged

HERE, ELSEWHERE = Partition("salesforce.cdc.Account", 0), Partition("salesforce.cdc.Account", 1)
BEFORE, NOW, SOON, LATER = (f"2025-01-01T00:{minute:02}:00.000Z" for minute in (0, 10, 11, 20))


def event(
    kind: str,
    time: str = NOW,
    /,
    *,
    commit: int | None = 5,
    sequence: int = 1,
    of: Partition = HERE,
    record: str = "001",
    **data: Any,
) -> Entry:
    """Return an event of the record 001; keys of `data` that begin with a capital are fields."""
    fields = {name: value for name, value in data.items() if name[0].isupper()}
    beside = {name: value for name, value in data.items() if not name[0].isupper()}
    body: dict[str, Any] = {"entity": "Account", "record_id": record, "fields": fields, **beside}
    if commit is not None:
        body["transaction"] = {"key": "k", "sequence": sequence, "commit_number": commit}
    made = Event(
        id=EventId(f"{kind}:{time}:{commit}:{sequence}"),
        source="/salesforce/00D",
        type=f"salesforce.cdc.Account.{kind}",
        subject="001",
        time=time,
        key="001",
        channel="/data/ChangeEvents",
        replay_id=ReplayId(b"1"),
        data=body,
    )
    return Entry(partition=of, offset=0, event=made)


def row(read_at: str = NOW, /, **data: Any) -> Entry:
    """Return the record as a snapshot has read it."""
    return event("snapshot", read_at, commit=None, **{"snapshot": {"id": "s", "read_at": read_at}, **data})


def state(*entries: Entry) -> RecordState:
    """Return the state after events that all change it."""
    found: RecordState | None = None
    for entry in entries:
        result = applied(entry, found)
        assert isinstance(result, RecordState)
        found = result
    assert found is not None
    return found


def fields(*entries: Entry) -> dict[str, Any] | None:
    """Return the fields after events that all change them."""
    return state(*entries).fields


def test_created_record_is_whole() -> None:
    """Empty fields are left out, also in compound fields."""
    created = event(
        "created", Name="Acme", Fax=None, Address={"City": "Oslo", "Street": None}, Geo={"Lat": None}
    )

    assert fields(created) == {"Name": "Acme", "Address": {"City": "Oslo"}}


def test_update_changes_what_it_carries() -> None:
    """Null clears, and a compound field changes by its parts."""
    created = event("created", Name="Acme", Fax="1", Address={"City": "Oslo", "Street": "A 1"})
    updated = event(
        "updated", LATER, commit=6, Fax=None, Phone="2", Address={"City": "Bergen", "Street": None}
    )

    assert fields(created, updated) == {"Name": "Acme", "Phone": "2", "Address": {"City": "Bergen"}}


def test_compound_field_is_cleared_as_a_whole() -> None:
    """A field that changes from text to parts is replaced."""
    assert merged({"A": {"x": 1}, "B": "text", "C": 1}, {"A": None, "B": {"y": 2}, "C": [3]}) == {
        "B": {"y": 2},
        "C": [3],
    }


def test_merging_leaves_the_former_fields_alone() -> None:
    """They can belong to another state."""
    former = {"A": {"x": 1}}
    merged(former, {"A": {"y": 2}})
    assert former == {"A": {"x": 1}}


@pytest.mark.parametrize(
    ("changes", "omitted"),
    [
        ({"Name": "B"}, ("Body", "Text")),
        ({"Text": "short"}, ("Body",)),
        ({"Body": None, "Text": None}, ()),
        ({"Text": {"part": 1}}, ("Body", "Text")),
    ],
)
def test_omitted_field_comes_back_with_its_next_value(
    changes: dict[str, Any], omitted: tuple[str, ...]
) -> None:
    """A change of another field, or of a part, does not tell it."""
    known = replace(state(event("created", Name="A")), omitted=("Body", "Text"))

    result = applied(event("updated", LATER, commit=6, **changes), known)
    assert isinstance(result, RecordState)
    assert result.omitted == omitted


def test_row_tells_all_omitted_fields() -> None:
    """It is whole."""
    known = replace(state(event("created", Name="A")), omitted=("Text",))

    result = applied(row(LATER, Name="A", Text="t"), known)
    assert isinstance(result, RecordState)
    assert (result.fields, result.omitted) == ({"Name": "A", "Text": "t"}, ())


def test_deletion_and_return() -> None:
    """A record that comes back has all its fields again."""
    created = event("created", Name="Acme")
    deleted = event("deleted", SOON, commit=6)
    undeleted = event("undeleted", LATER, commit=7, Name="Acme")

    assert state(created, deleted).is_deleted
    assert fields(created, deleted, undeleted) == {"Name": "Acme"}
    assert applied(event("deleted", LATER, commit=8), state(created, deleted)) is Unapplied.OLDER
    assert applied(event("updated", LATER, commit=8, Name="x"), state(created, deleted)) is Unapplied.UNCLEAR


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        (event("updated", BEFORE, commit=4, Name="old"), Unapplied.OLDER),
        (event("updated", NOW, commit=5, Name="same"), Unapplied.OLDER),
        (event("updated", NOW, commit=5, sequence=2, Name="next"), {"Name": "next"}),
        (event("updated", LATER, commit=6, Name="next"), {"Name": "next"}),
        # The org has moved to another database instance, whose numbers are lower.
        (event("updated", LATER, commit=2, Name="next"), Unapplied.UNCLEAR),
        (event("updated", BEFORE, commit=6, Name="odd"), Unapplied.UNCLEAR),
        (event("updated", BEFORE, commit=None, Name="old"), Unapplied.OLDER),
        (event("updated", LATER, commit=None, Name="next"), {"Name": "next"}),
        (event("updated", NOW, commit=None, Name="?"), Unapplied.UNCLEAR),
        (event("deleted", BEFORE, commit=4), Unapplied.OLDER),
        (event("deleted", LATER, commit=6), None),
        (event("gap", LATER, commit=6), Unapplied.OLDER),
        (event("updated", LATER, commit=6, Name="x", redriven={"redriven_at": LATER}), Unapplied.OLDER),
        (event("updated", LATER, commit=6, Text={"diff": "…"}, diff_fields=["Text"]), Unapplied.UNCLEAR),
        # Partitions were added to the topic, so an earlier change can be unread.
        (event("updated", LATER, commit=6, Name="next", of=ELSEWHERE), Unapplied.UNCLEAR),
        (event("created", LATER, commit=6, Name="next", of=ELSEWHERE), {"Name": "next"}),
        (row(LATER, Name="read"), {"Name": "read"}),
        (row(BEFORE, Name="read"), Unapplied.OLDER),
        (row(LATER, Name="first"), Unapplied.OLDER),
    ],
)
def test_event_after_an_event(later: Entry, expected: Any) -> None:
    """Commits order the stream; if time and number contradict each other, the order is unclear."""
    known = state(event("created", NOW, Name="first"))
    result = applied(later, known)
    assert (result.fields if isinstance(result, RecordState) else result) == expected


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        (
            event("updated", SOON, Name="next", LastModifiedDate=LATER),
            {"Name": "next", "LastModifiedDate": LATER},
        ),
        (event("updated", LATER, Name="old", LastModifiedDate=BEFORE), Unapplied.OLDER),
        # Both changes can be of the same second.
        (event("updated", NOW, Name="?", LastModifiedDate=NOW), Unapplied.UNCLEAR),
        (event("updated", NOW, Name="read", LastModifiedDate=NOW), Unapplied.OLDER),
        (event("updated", BEFORE, Name="old"), Unapplied.OLDER),
        (event("updated", LATER, Name="next"), {"Name": "next", "LastModifiedDate": NOW}),
        (event("updated", SOON, Name="?"), Unapplied.UNCLEAR),
        (event("updated", SOON, Name="read"), Unapplied.OLDER),
        (event("deleted", BEFORE), Unapplied.OLDER),
        (event("deleted", NOW), Unapplied.UNCLEAR),
        (event("deleted", LATER), None),
        (row(LATER, Name="newer", LastModifiedDate=LATER), {"Name": "newer", "LastModifiedDate": LATER}),
        (row(LATER, Name="older", LastModifiedDate=BEFORE), Unapplied.OLDER),
    ],
)
def test_event_after_a_row(later: Entry, expected: Any) -> None:
    """A row has the changes up to its reading, and events of some of them can follow."""
    known = state(row(NOW, Name="read", LastModifiedDate=NOW))
    result = applied(later, known)
    assert (result.fields if isinstance(result, RecordState) else result) == expected


def test_record_that_is_unknown() -> None:
    """Only a whole record, or its deletion, tells the state."""
    assert applied(event("updated", Name="x"), None) is Unapplied.UNCLEAR
    assert applied(event("gap"), None) is Unapplied.OLDER
    assert (
        applied(row(Name="x", snapshot={"id": "s", "read_at": NOW, "is_partial": True}), None)
        is Unapplied.OLDER
    )
    assert state(event("deleted")).is_deleted


def test_masked_date_is_no_date() -> None:
    """A protected field can hold any text."""
    known = state(row(NOW, Name="read", LastModifiedDate="***"))
    assert isinstance(applied(event("updated", LATER, Name="x", LastModifiedDate="***"), known), RecordState)


def test_row_of_a_deletion() -> None:
    """Later events of the stream from before the deletion are older."""
    gone = state(event("deleted", NOW, commit=None, snapshot={"id": "s", "read_at": NOW}))

    assert applied(event("updated", BEFORE, Name="x"), gone) is Unapplied.OLDER
    assert applied(event("created", BEFORE, Name="x"), gone) is Unapplied.OLDER
    assert isinstance(applied(event("undeleted", LATER, Name="x"), gone), RecordState)
    assert isinstance(applied(row(SOON, Name="x"), gone), RecordState)


@pytest.mark.parametrize(
    "read",
    [{"snapshot": {"id": "s", "read_at": SOON}}, {"recovered": {"reason": "GAP_UPDATE", "read_at": SOON}}],
)
def test_deletion_that_was_read_is_newer_than_a_later_date_of_the_org(read: dict[str, Any]) -> None:
    """The org's clock can be ahead, and a recovered deletion has the time of its gap event."""
    known = state(row(NOW, Name="read", LastModifiedDate=LATER))

    result = applied(event("deleted", SOON, commit=None, **read), known)

    assert isinstance(result, RecordState)
    assert result.is_deleted
