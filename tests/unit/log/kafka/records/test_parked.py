"""Records of parked lanes."""

import re
from collections.abc import Iterator, Sequence

import pytest
from confluent_kafka import Message
from hypothesis import given
from hypothesis import strategies as st

from streamer.events import Entry, ParkedLane, Partition, Setback, SettledOffsets
from streamer.log.foreign_records import ForeignRecords
from streamer.log.kafka.cluster.producer import ProducerRecord, Tombstone
from streamer.log.kafka.parked_index import ParkedChanges, ParkedIndex
from streamer.log.kafka.parked_restoration import Restoration
from streamer.log.kafka.records import events
from streamer.log.kafka.records.parked import ParkedRecordKey, ParkedTopic
from streamer.log.memory.controls import ParkedEvents
from streamer.log.records import decode_event
from streamer.ports import LaneChange
from tests.contracts.values import an_event
from tests.unit.log.kafka.topics.kafka_topic import Tape, as_read, compacted

ONE, TWO = (Partition(topic="salesforce.cdc.Account", number=number) for number in range(2))
TOPIC = ParkedTopic(name="parked", partitions=1)
LANES = ("a", "b")


@pytest.fixture(scope="module", autouse=True)
def _small_chunks() -> Iterator[None]:
    """Let small events have several chunks."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(events, "CHUNK_BYTES", 300)
        yield


def a_setback(attempts: int) -> Setback:
    """Return a setback after so many attempts."""
    return Setback(attempts=attempts, first_failed_at=1.0, due_at=2.5, first_error="ü", last_error="no")


def an_entry(partition: Partition, offset: int, *, size: int = 1) -> Entry:
    """Return an entry of that offset."""
    return Entry(partition=partition, offset=offset, event=an_event(offset, data={"text": "x" * size}))


@st.composite
def settlements(draw: st.DrawFn) -> list[list[LaneChange]]:
    """Settlements of lanes, sometimes repeated; no lane has another's events."""
    return [list(changes) for changes in draw(st.lists(st.lists(_changes(), max_size=3), max_size=8))]


@st.composite
def _changes(draw: st.DrawFn) -> LaneChange:
    number, partition = draw(st.integers(0, 1)), draw(st.sampled_from([ONE, TWO]))
    own = st.sets(st.integers(0, 4).map(lambda each: each * 2 + number))
    attempts = draw(st.none() | st.integers(1, 9))
    return LaneChange(
        partition=partition,
        lane=LANES[number],
        setback=None if attempts is None else a_setback(attempts),
        joined=[an_entry(partition, offset, size=_size_at(offset)) for offset in sorted(draw(own))],
        left=sorted(draw(own)),
    )


def _size_at(offset: int) -> int:
    # Some are large, and what lies at an offset never changes.
    return 400 if offset % 3 == 0 else 1


class Log:
    """A parked topic that is written, indexed and restored."""

    def __init__(self) -> None:
        """Begin with an empty topic."""
        self.records: list[ProducerRecord | Tombstone] = []
        self.known = {ONE: ParkedIndex(), TWO: ParkedIndex()}
        self.foreign = ForeignRecords()

    def settle(self, changes: Sequence[LaneChange]) -> None:
        """Write `changes`."""
        parking = ParkedChanges(TOPIC, changes, self.known)
        begin = len(self.records)
        self.records += parking.records
        parking.conclude(
            {
                record.key: begin + number
                for number, record in enumerate(parking.records)
                if isinstance(record, ProducerRecord)
            }
        )

    def restore(self, messages: Sequence[Message]) -> Restoration:
        """Read `messages` as the next owner of both partitions."""
        restoration = Restoration(
            Tape(messages), dict.fromkeys(self.known, SettledOffsets(next_offset=0)), self.foreign
        )
        while not restoration.step():
            pass
        return restoration

    def bodies(self, partition: Partition, parked: ParkedIndex) -> Iterator[Entry]:
        """Return the entries at the indexed offsets."""
        for offset in range(10):
            if (offsets := parked.chunk_offsets(offset)) is not None:
                records = [self.records[each] for each in offsets]
                value = b"".join(each.value for each in records if isinstance(each, ProducerRecord))
                yield Entry(partition=partition, offset=offset, event=decode_event(value))


@given(settlements())
def test_next_owner_finds_what_was_settled(said: list[list[LaneChange]]) -> None:
    """It has each lane, setback and body as the twin in memory has, before and after compaction."""
    log, twin = Log(), ParkedEvents()
    for changes in said:
        log.settle(changes)
        twin.change(changes)
    messages = as_read(log.records)
    for read in (messages, compacted(messages)):
        for found in log.restore(read).restored():
            expected = [lane for lane in twin.lanes(found.partition) if lane.offsets]
            assert sorted(found.lanes, key=lambda each: each.lane) == sorted(
                expected, key=lambda each: each.lane
            )
            for parked in (found.parked, log.known[found.partition]):
                assert list(log.bodies(found.partition, parked)) == twin.entries(found.partition, range(10))


@given(settlements())
def test_what_is_gone_leaves_nothing_to_compaction(said: list[list[LaneChange]]) -> None:
    """A removed lane leaves only tombstones, one for each chunk of each event."""
    log = Log()
    for changes in said:
        log.settle(changes)
    log.settle([LaneChange(partition=each, lane=lane, setback=None) for each in (ONE, TWO) for lane in LANES])

    assert not [message for message in compacted(as_read(log.records)) if message.value() is not None]


def test_partitions_that_were_taken_away_meanwhile_are_not_restored() -> None:
    """Their next owner restores them."""
    log = Log()
    log.settle([LaneChange(partition=ONE, lane="a", setback=a_setback(1), joined=[an_entry(ONE, 0)])])
    restoration = Restoration(
        Tape(as_read(log.records)), dict.fromkeys((ONE, TWO), SettledOffsets(next_offset=0)), ForeignRecords()
    )
    restoration.drop([ONE])

    assert restoration.step()
    assert [(found.partition, found.lanes) for found in restoration.restored()] == [(TWO, [])]


@pytest.mark.parametrize(
    ("key", "encoded"),
    [
        (ParkedRecordKey("t", 3, "a/ü"), '["t",3,"a/ü"]'),
        (ParkedRecordKey("t", 3, "a", 0), '["t",3,"a",0]'),
        (ParkedRecordKey("t", 3, "a", 7, 2), '["t",3,"a",7,2]'),
    ],
)
def test_keys_stay_as_they_are(key: ParkedRecordKey, encoded: str) -> None:
    """With another key format, a later version would neither find nor remove anything."""
    assert key.encode() == encoded.encode()
    assert ParkedRecordKey.decode(key.encode()) == key


@pytest.mark.parametrize("key", [None, b"", b"\xff", b'"t"', b"[1]"])
def test_foreign_key_is_told(key: bytes | None) -> None:
    """Foreign records must be neither taken for parked events nor ignored."""
    with pytest.raises(ValueError):  # noqa: PT011 - whatever is wrong with it
        ParkedRecordKey.decode(key)


def test_lanes_that_are_gone_take_no_memory() -> None:
    """Tombstones of a day's lanes stay in the topic until the broker removes them."""
    log = Log()
    for number in range(50):
        name = f"lane {number}"
        log.settle(
            [LaneChange(partition=ONE, lane=name, setback=a_setback(1), joined=[an_entry(ONE, number)])]
        )
        log.settle([LaneChange(partition=ONE, lane=name, setback=None)])

    restoration = log.restore(as_read(log.records))
    assert not any(restoration._found.values())


def test_record_that_streamer_did_not_write_is_told() -> None:
    """The others are found."""
    key = ParkedRecordKey(ONE.topic, ONE.number, "a", 1).encode()
    log = Log()
    log.restore(as_read([ProducerRecord(TOPIC.name, b'{"v":1}', key, 0, {"parts": b"many"})]))

    [place] = log.foreign.places
    assert re.match(rf"topic {TOPIC.name}, partition .*, offset .*, key ", place)


@pytest.mark.parametrize("parts", [b"200000000", b"0", b"-3"])
def test_header_does_not_decide_how_much_memory_is_taken(parts: bytes) -> None:
    """It comes from outside, if anybody else writes to the topic."""
    key = ParkedRecordKey(ONE.topic, ONE.number, "a", 1).encode()
    log = Log()
    log.restore(as_read([ProducerRecord(TOPIC.name, b'{"v":1}', key, 0, {"parts": parts})]))

    assert len(log.foreign.places) == 1


@pytest.mark.parametrize(
    "key", [b"", b"[]", b"{}", b'"abc"', b'["t"]', b'["t",1,2]', b'["t",1,"l",true]', b'["t",1,"l",3,-1]']
)
def test_key_of_another_form_is_told(key: bytes) -> None:
    """It is neither a lane nor an event."""
    log = Log()
    log.restore(as_read([ProducerRecord(TOPIC.name, b"x", key, 0, {})]))

    assert len(log.foreign.places) == 1


def test_newest_sound_record_of_a_lane_counts() -> None:
    """A foreign one with its key, or that of its event, costs neither."""
    log = Log()
    log.settle([LaneChange(partition=ONE, lane="a", setback=a_setback(1), joined=[an_entry(ONE, 0)])])
    lane = ParkedRecordKey(ONE.topic, ONE.number, "a")
    foreign = [
        ProducerRecord(TOPIC.name, b"x", each.encode(), 0, {}) for each in (lane, lane._replace(offset=0))
    ]

    restoration = log.restore(as_read([*log.records, *foreign]))

    [found] = [each for each in restoration.restored() if each.partition == ONE]
    assert found.lanes == [ParkedLane(lane="a", offsets=(0,), setback=a_setback(1))]
    assert len(log.foreign.places) == 2


def test_events_of_a_lane_whose_record_was_overwritten_are_due() -> None:
    """Compaction has removed the sound one, and the events behind it must not be lost."""
    log = Log()
    log.settle([LaneChange(partition=ONE, lane="a", setback=a_setback(1), joined=[an_entry(ONE, 0)])])
    lane = ParkedRecordKey(ONE.topic, ONE.number, "a").encode()
    kept = [record for record in log.records if record.key != lane]

    restoration = log.restore(as_read([*kept, ProducerRecord(TOPIC.name, b"x", lane, 0, {})]))

    [found] = [each for each in restoration.restored() if each.partition == ONE]
    [parked] = found.lanes
    assert (parked.lane, parked.offsets, parked.setback.due_at) == ("a", (0,), 0.0)


def test_offsets_of_which_anything_lies_there_are_recorded() -> None:
    """Also of a lane whose record was replaced by an unread one: nothing else shows that its events wait."""
    log = Log()
    log.settle([LaneChange(partition=ONE, lane="a", setback=a_setback(1), joined=[an_entry(ONE, 3)])])
    bodies = [
        message
        for message in as_read(log.records)
        if ParkedRecordKey.decode(message.key()).offset is not None
    ]

    [one, two] = log.restore(bodies).restored()
    assert one.recorded_offsets == {3}
    assert not one.lanes
    assert not two.recorded_offsets
