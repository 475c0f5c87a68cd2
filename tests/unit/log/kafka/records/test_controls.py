"""Records of the control topic."""

from dataclasses import replace

import pytest

from streamer.controls import ControlState
from streamer.errors import LogMisconfigured
from streamer.log.kafka.cluster.producer import ProducerRecord
from streamer.log.kafka.records.controls import (
    AppliedControls,
    control_record,
    left_out_record,
    redrive_records,
    snapshot_record,
)
from tests.contracts.test_controls import PAUSED, REDRIVE, SNAPSHOT, TARGET


def board(*records: object) -> ControlState:
    """Return the control state that `records` add up to."""
    switches = AppliedControls()
    for record in records:
        assert isinstance(record, tuple)
        switches.apply(record[2 if isinstance(record, ProducerRecord) else 1], getattr(record, "value", None))
    return switches.board()


def test_last_record_counts() -> None:
    """Compaction keeps only the last one."""
    ordered, ended = (redrive_records(replace(REDRIVE, ended_at=at), "c") for at in (None, 20.0))

    assert board(control_record(PAUSED, "c"), *ordered) == ControlState(
        controls={TARGET: PAUSED}, redrives={"r1": REDRIVE}
    )
    assert board(*ordered, *ended) == ControlState()


def test_last_order_of_a_snapshot_counts() -> None:
    """Until its tombstone, which has its key."""
    ordered, ended = (snapshot_record(replace(SNAPSHOT, ended_at=at), "c") for at in (None, 20.0))

    assert board(ordered) == board(ordered, ended, ordered) == ControlState(snapshots={SNAPSHOT.id: SNAPSHOT})
    assert board(ordered, ended) == board(ended) == ControlState()


def test_what_a_redrive_leaves_out_counts_while_it_is_open() -> None:
    """Whatever compaction has left of the ended one."""
    ordered, ended = (redrive_records(replace(REDRIVE, ended_at=at), "c") for at in (None, 20.0))
    left_out = left_out_record("r1", {"b:target"}, "c")

    assert board(*ordered, left_out).redrives["r1"].skipped == {"a:target", "b:target"}
    assert board(*ordered, *ended, left_out) == board(left_out) == ControlState()
    assert {record[1] for record in ended} == {ordered[0][2], left_out.key}


def test_what_a_newer_streamer_switches_is_passed_over() -> None:
    """Two versions share the topic while one replaces the other."""
    assert board(ProducerRecord("c", b"?", b"lamp/1", 0, {})) == ControlState()


def test_switch_that_can_not_be_read_is_told_and_counts_as_a_pause() -> None:
    """It can be one."""
    with pytest.raises(LogMisconfigured):
        board(ProducerRecord("c", b"?", b"subscriber/target", 0, {}))
