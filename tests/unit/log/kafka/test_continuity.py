"""The topic of continuity records: foreign records do no harm."""

from dataclasses import replace

from confluent_kafka import Message
from structlog.testing import capture_logs

from streamer.events import ContinuityRecord, Repair
from streamer.log.continuity import LastStates
from streamer.log.foreign_records import ForeignRecords
from streamer.log.kafka.control.continuity import apply_message
from streamer.log.kafka.records.events import continuity_message
from tests.contracts.values import a_hole

FORMER = (
    b'{"v":1,"org":"00D000000000001EAA","path":"/data/ChangeEvents","cause":"gap_event","detail":"GAP_UPDATE",'
    b'"recorded_at":1735689500.0,"after":"17","verified_at":null,"repaired":false}'
)


def written(record: ContinuityRecord, offset: int = 0) -> Message:
    """Return a record as it is read."""
    made = continuity_message(record, "streamer.continuity")
    return message(made.value, key=made.key, offset=offset)


def message(value: bytes | None, *, key: bytes, offset: int) -> Message:
    """Return what a consumer reads at `offset`."""
    return Message(topic="streamer.continuity", partition=0, offset=offset, key=key, value=value)


def states_of(*messages: Message, most: int | None = None) -> list[ContinuityRecord]:
    """Return the last states in a topic that holds `messages`."""
    states, foreign = LastStates(lambda _: True, most=most), ForeignRecords()
    for each in messages:
        apply_message(each, states, foreign)
    return list(states.oldest_first())


def test_records_of_the_former_format_are_each_a_hole() -> None:
    """They have the channel as their key, all of them the same."""
    messages = [message(FORMER, key=b"00D/data/ChangeEvents", offset=at) for at in (4, 7)]

    found = states_of(*messages)
    assert [(record.id, record.state) for record in found] == [
        ("former:4", Repair.NONE),
        ("former:7", Repair.NONE),
    ]


def test_record_that_cannot_be_read_is_named_and_hides_no_other() -> None:
    """Whatever its bytes are, or a newer Streamer wrote."""
    hole = a_hole()
    foreign = [b"", b"\xff", b"[]", b'{"v":99}', b'{"v":1,"id":"x"}', b"[" * 5_000]
    with capture_logs() as logs:
        found = states_of(
            written(hole), *(message(raw, key=b"k", offset=9 + at) for at, raw in enumerate(foreign))
        )

    assert found == [hole]
    assert [line["event"] for line in logs] == ["record.set_aside"] * len(foreign)
    assert "partition 0, offset 9, key 'k'" in logs[0]["place"]


def test_tombstone_removes_a_record() -> None:
    """As the sentence about a foreign record advises."""
    hole = replace(a_hole(), id="ü")

    assert states_of(written(hole), message(None, key="ü".encode(), offset=1)) == []
    assert states_of(message(None, key=b"\xff", offset=0), written(hole, 1)) == [hole]


def test_listing_considers_the_holes_that_changed_last() -> None:
    """Their number bounds the memory."""
    holes = [replace(a_hole(), id=str(n), recorded_at=float(n)) for n in range(3)]

    assert states_of(*map(written, [*holes, holes[0]]), most=2) == [holes[0], holes[2]]
