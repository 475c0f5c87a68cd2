"""Records of the holes that ingest detects: the same hole has the same id, and its state is true."""

from dataclasses import replace

import pytest

from streamer.events import Channel, Checkpoint, Event, EventId, HoleCause, Repair, ReplayId, Start
from streamer.ingest.positions.holes import holes_of, record_of_gap, refused_hole
from streamer.log.records import encode_continuity
from streamer.normalise import normaliser_for
from tests.messages import CHANGES, change

HOUR_S = 3600.0
NOW = 1_735_689_600.0


def read(*messages: object) -> list[Event]:
    """Return the events of messages."""
    return [item for item in normaliser_for(CHANGES)(list(messages)) if isinstance(item, Event)]


def a_position(*, age_s: float, channel: Channel = CHANGES) -> Checkpoint:
    """Return a checkpoint whose channel was last complete `age_s` ago."""
    return Checkpoint(channel=channel, replay_id=ReplayId(b"5"), verified_at=NOW - age_s)


@pytest.mark.parametrize(
    ("record", "kind", "cause"),
    [
        ("001A", "GAP_UPDATE", HoleCause.GAP_EVENT),
        ("000000000000000AAA", "GAP_OVERFLOW", HoleCause.OVERFLOW),
        ("001*", "UPDATE", HoleCause.ENTITY_CHANGE),
    ],
)
def test_gap_is_recorded_by_its_cause(record: str, kind: str, cause: HoleCause) -> None:
    """With the entity that it concerns, up to its commit, and the same at each reading."""
    events = read(change(1, "001B"), change(2, record, kind=kind))
    (hole,) = holes_of(events, CHANGES, NOW)
    (again,) = holes_of(events, CHANGES, NOW + 9)

    assert (hole.cause, hole.state, hole.entity, hole.after) == (cause, Repair.NONE, "Account", b"2")
    assert (hole.id, hole.is_new) == (f"gap:{events[1].id}", True)
    assert hole.until is not None
    assert replace(again, recorded_at=NOW) == hole


@pytest.mark.parametrize(
    ("record", "kind", "missing"),
    [
        ("001000000000001", "GAP_CREATE", "001000000000001AAA"),
        ("001000000000001AAA", "GAP_UPDATE", "001000000000001AAA"),
        ("001000000000001AAA", "GAP_UNDELETE", "001000000000001AAA"),
        ("001000000000001AAA", "GAP_DELETE", None),
        ("000000000000000AAA", "GAP_OVERFLOW", None),
        ("001*", "UPDATE", None),
    ],
)
def test_gap_of_one_record_names_the_record(record: str, kind: str, missing: str | None) -> None:
    """A snapshot of this record fills the hole, whatever the detail says. A deleted record is gone."""
    (hole,) = holes_of(read(change(2, record, kind=kind)), CHANGES, NOW)

    assert hole.record == missing
    assert record_of_gap(replace(hole, detail="a sentence for the operator")) == missing


def test_gap_of_endless_names_makes_a_small_record() -> None:
    """The log takes it, whatever Salesforce, or who says to be it, has sent."""
    (read_event,) = read(change(1, "0" * 255, kind="GAP_UPDATE"))
    event = replace(read_event, id=EventId("0" * 1_000_000))
    (hole,) = holes_of([event], CHANGES, NOW)
    (other,) = holes_of([replace(event, id=EventId(f"{event.id}1"))], CHANGES, NOW)

    assert len(encode_continuity(hole)) < 2_000
    assert hole.id != other.id


@pytest.mark.parametrize(
    ("age_h", "id_age_h", "resumes_at", "state", "until_h"),
    [
        (1, 80, Start.EARLIEST, Repair.FULL, 0),
        (1, 72, Start.EARLIEST, Repair.FULL, 0),
        (71.9, 80, Start.EARLIEST, Repair.FULL, 0),
        (72, 80, Start.EARLIEST, Repair.NONE, 72),
        (100, 100, Start.EARLIEST, Repair.NONE, 72),
        (1, 80, Start.LATEST, Repair.NONE, 0),
        (1, 71, Start.EARLIEST, Repair.NONE, 0),
        (1, None, Start.EARLIEST, Repair.NONE, 0),
    ],
)
def test_refused_position_is_a_hole_unless_all_that_followed_is_retained(
    age_h: float, id_age_h: float | None, resumes_at: Start, state: Repair, until_h: float
) -> None:
    """An id that is refused before its age explains it shows that the stream was reset."""
    positioned_at = None if id_age_h is None else NOW - id_age_h * HOUR_S
    position = replace(a_position(age_s=age_h * HOUR_S), positioned_at=positioned_at)
    hole = refused_hole(CHANGES, position, resumes_at, NOW)

    assert (hole.state, hole.until) == (state, NOW - until_h * HOUR_S)
    assert (hole.after, hole.verified_at) == (b"5", NOW - age_h * HOUR_S)


def test_retention_is_that_of_the_channel() -> None:
    """A PushTopic is retained for a day."""
    topic = replace(CHANGES, path="/topic/Invoices")
    hole = refused_hole(topic, a_position(age_s=30 * HOUR_S, channel=topic), Start.EARLIEST, NOW)

    assert (hole.state, hole.until) == (Repair.NONE, NOW - 24 * HOUR_S)


def test_position_that_is_refused_twice_is_one_hole() -> None:
    """Until something was read behind it; without any position each refusal is one of its own."""
    position = a_position(age_s=1)
    ids = [refused_hole(CHANGES, at, Start.LATEST, NOW).id for at in (position, position)]
    later = refused_hole(CHANGES, replace(position, verified_at=NOW), Start.LATEST, NOW)
    unknown = {refused_hole(CHANGES, None, Start.LATEST, NOW).id for _ in range(2)}

    assert ids[0] == ids[1] != later.id
    assert len(unknown) == 2


def test_position_of_unknown_age_is_not_said_to_be_whole() -> None:
    """A checkpoint that has seen nothing but unreadable messages knows no time."""
    position = replace(a_position(age_s=0), verified_at=0.0)
    hole = refused_hole(CHANGES, position, Start.EARLIEST, NOW)

    assert (hole.state, hole.verified_at) == (Repair.NONE, None)
