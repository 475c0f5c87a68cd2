"""Records of states, and what a record can hold."""

import json

import pytest

from streamer.events import EventId, LastChange, Partition, RecordState
from streamer.log.kafka.records.states import StateEncoder

FIELDS = {"Name": "Acme", "Short": "é" * 10, "Long": "x" * 400, "Address": {"Street": "s" * 200}}


def a_state(omitted: tuple[str, ...] = ()) -> RecordState:
    """Return the state of an account that has all fields but the `omitted` ones."""
    last = LastChange(event_id=EventId("1"), time="2026-01-01T00:00:00.000Z", partition=Partition("t", 0))
    return RecordState(entity="Account", record_id="001", fields=FIELDS, last=last, omitted=omitted)


@pytest.mark.parametrize("largest", range(180, 900, 7))
@pytest.mark.parametrize("before", [(), ("Body",)])
def test_value_fits_and_lacks_no_more_than_it_must(largest: int, before: tuple[str, ...]) -> None:
    """The largest fields go first, and with one of them the value would be too large."""
    row = StateEncoder(largest=largest).encode(a_state(before), Partition("states", 0), 0).row
    assert row.value is not None
    value = json.loads(row.value)
    omitted = value.get("omitted", [])

    assert len(row.value) <= largest
    assert omitted == sorted(omitted)
    assert value["fields"].keys() | set(omitted) == FIELDS.keys() | set(before)
    by_size = sorted(FIELDS, key=lambda name: len(json.dumps(FIELDS[name], ensure_ascii=False).encode()))
    assert [name for name in by_size if name in value["fields"]] == by_size[: len(value["fields"])]
    if missing := [name for name in by_size if name not in value["fields"]]:
        room = len(json.dumps({missing[0]: FIELDS[missing[0]]}, ensure_ascii=False).encode())
        # The key of the list is counted, even if the state has it already.
        assert len(row.value) + room + len(b',"omitted":[]') > largest
