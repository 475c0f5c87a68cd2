"""Findings name what needs a person, and nothing that ends by itself."""

from dataclasses import replace
from typing import Any

import pytest

from streamer.admin.problems.findings import (
    HOLE_SHOWN_S,
    ProcessCondition,
    hole_problems,
    parked_problems,
    position_problems,
    process_problems,
    subscriber_problem,
)
from streamer.admin.problems.groups import OpenProblem, ProblemKind
from streamer.continuity import begun_record
from streamer.controls import Control, SnapshotOrder, Switch
from streamer.events import (
    Channel,
    Checkpoint,
    ContinuityRecord,
    FailureClass,
    HoleAcknowledgement,
    HoleCause,
    OrgId,
    Partition,
    Repair,
    ReplayId,
    SubscriberName,
)
from streamer.ingest.channel_supervisor import ChannelState, ChannelStatus
from streamer.observe.subscriber_status import (
    LastFailure,
    ParkedKey,
    ParkedKeys,
    ParkedState,
    SubscriberStatus,
)
from streamer.ports import StoredCheckpoint

ERP = SubscriberName("erp")
CHANGES = Channel(org=OrgId("00D"), path="/data/ChangeEvents")
HOUR_S, NOW = 3600.0, 1_000_000.0
FAILURE = LastFailure(error="answered 503", failure=FailureClass.HTTP_5XX, since=5.0, at=9.0, count=3)
HEALTHY = SubscriberStatus(
    lag=0, waiting=0, parked=0, in_flight=0, limit=8, hindrance="", is_held=False, is_down=False
)
HOLE = ContinuityRecord(
    id="1",
    channel=CHANGES,
    cause=HoleCause.OVERFLOW,
    detail="too many changes",
    recorded_at=NOW - 100,
    state=Repair.NONE,
    entity="Account",
)


def found(status: SubscriberStatus | None = HEALTHY, control: Control | None = None) -> OpenProblem | None:
    """Return what a subscriber needs."""
    return subscriber_problem(ERP, control, status)


def kinds(*records: ContinuityRecord) -> list[tuple[str, str | None]]:
    """Return the kinds and the entities of the holes' problems."""
    return [(each.kind.value, each.entity) for each in hole_problems(records, NOW)]


def test_acknowledged_hole_needs_nobody() -> None:
    """Nothing repairs it, and an operator knows that."""
    known = HoleAcknowledgement(by="anna", at=NOW - 5, reason="told the owners")

    assert kinds(replace(HOLE, acknowledged=known), replace(HOLE, id="2", entity="Order")) == [
        ("hole", "Order")
    ]


@pytest.mark.parametrize(("by", "kind"), [("anna", "paused"), ("guard", "disabled"), ("target", "disabled")])
def test_paused_subscriber_names_its_reason(by: str, kind: str) -> None:
    """In every process, for every name."""
    control = Control(subscriber=ERP, switch=Switch.PAUSED, by=by, at=7.0, reason="upgrade")
    problem = found(None, control)

    assert problem is not None
    assert (problem.kind, problem.reason, problem.error, problem.since) == (kind, by, "upgrade", 7.0)


def test_parked_key_is_a_problem_after_a_failed_attempt() -> None:
    """A half of a join waits without a failure, and a redriven event waits for its turn."""
    failed = ParkedKey(
        key="001",
        partition=Partition(topic="log", number=0),
        offset=7,
        events=2,
        state=ParkedState.WAITING,
        attempts=3,
        due_at=NOW,
        first_failed_at=5.0,
        first_error="answered 503",
        last_error="answered 503",
    )
    half = replace(
        failed, attempts=0, first_failed_at=None, last_error="waits until credit-check forwards the event"
    )
    listed = ParkedKeys(total=2, keys=(half, failed))

    assert [(each.kind, each.error, each.count) for each in parked_problems(ERP, listed)] == [
        (ProblemKind.PARKED, "answered 503", 2)
    ]


def test_late_subscriber_counts_the_events_that_wait() -> None:
    """A key that is parked after failures is a problem of its own, with the same cause."""
    late = replace(HEALTHY, lag=3, at=100.0, oldest_at=5.0, deliver_within_s=10.0)
    problem = found(late)

    assert problem is not None
    assert (problem.kind, problem.since, problem.count) == (ProblemKind.LATE, 5.0, 3)
    assert found(replace(late, lag=0, parked=2, last_failure=FAILURE)) is None
    # A half of a join waits for another subscriber, so nothing has failed.
    assert found(replace(late, lag=0, parked=2)) == replace(problem, count=2)


def test_target_that_is_down_names_the_error_and_the_first_failure() -> None:
    """The count is the number of events that wait."""
    problem = found(replace(HEALTHY, lag=4, is_held=True, is_down=True, down_since=3.0, last_failure=FAILURE))

    assert problem is not None
    assert (problem.kind, problem.error, problem.since, problem.count) == (
        ProblemKind.TARGET_DOWN, "answered 503", 3.0, 4
    )  # fmt: skip


def test_refused_credentials_need_a_person_and_a_requested_pause_does_not() -> None:
    """A target that asks for fewer requests is tried again in time."""
    refused = replace(FAILURE, error="401: bad key")
    held = replace(HEALTHY, lag=1, is_held=True, hindrance="401: bad key", last_failure=refused)

    assert getattr(found(held), "kind", None) is ProblemKind.HELD
    assert found(replace(held, hindrance="429: slow down", last_failure=None)) is None


@pytest.mark.parametrize("status", [None, HEALTHY, replace(HEALTHY, lag=1, last_failure=FAILURE)])
def test_subscriber_that_delivers_or_retries_is_no_problem(status: SubscriberStatus | None) -> None:
    """A retry ends by itself; events that keep failing are parked, and listed as such."""
    assert found(status) is None


def test_event_that_waits_too_long_is_a_problem() -> None:
    """Since the commit of the event."""
    problem = found(replace(HEALTHY, lag=1, at=NOW, oldest_at=NOW - 600, deliver_within_s=60.0))

    assert problem is not None
    assert (problem.kind, problem.since) == (ProblemKind.LATE, NOW - 600)


def test_hole_is_a_problem_until_a_complete_snapshot_covers_it() -> None:
    """A snapshot of another object, an earlier one and a running one do not."""
    snapshot = replace(
        HOLE, id="2", cause=HoleCause.SNAPSHOT, state=Repair.FULL, recorded_at=NOW - 50, detail=""
    )

    assert kinds(HOLE) == [("hole", "Account")]
    assert kinds(HOLE, snapshot) == []
    for other in (
        replace(snapshot, entity="Contact"),
        replace(snapshot, state=Repair.OPEN),
        replace(snapshot, recorded_at=NOW - 200),
    ):
        assert kinds(HOLE, other) == [("hole", "Account")]


@pytest.mark.parametrize(
    ("chosen", "is_covered"),
    [
        ({}, True),
        ({"where": "Name = 'x'"}, False),
        ({"fields": ("Name",)}, False),
        ({"since": NOW - 7_200}, True),
        ({"since": NOW - 1_800}, False),
        ({"since": NOW - 7_200, "where": "Name = 'x'"}, False),
    ],
)
def test_snapshot_of_some_records_leaves_the_hole(*, chosen: dict[str, Any], is_covered: bool) -> None:
    """Otherwise, nobody would read the other records of the hole."""
    order = SnapshotOrder(
        id="snapshot:1", channel=CHANGES.path, entity="Account", by="anna", at=NOW - 50, **chosen
    )
    ended = replace(begun_record(CHANGES, order), state=Repair.FULL)
    hole = replace(HOLE, verified_at=NOW - HOUR_S)

    assert kinds(hole, ended) == ([] if is_covered else [("hole", "Account")])


ADA, EVE = "001000000000001AAA", "001000000000002AAA"
GAP = replace(HOLE, cause=HoleCause.GAP_EVENT, detail=f"GAP_UPDATE of Account {ADA}: no such column")


@pytest.mark.parametrize(
    ("where", "is_covered"),
    [
        (f"Id IN ('{ADA}')", True),
        (f"Id IN ('{EVE}', '{ADA}')", True),
        (f"Id IN ('{EVE}')", False),
        (f"Id IN ('{ADA}') AND Name = 'x'", False),
    ],
)
def test_snapshot_of_the_one_record_covers_its_gap_event(*, where: str, is_covered: bool) -> None:
    """No other record is missing. A hole of other causes can lack other records."""
    order = SnapshotOrder(
        id="snapshot:1", channel=CHANGES.path, entity="Account", by="anna", at=NOW - 50, where=where
    )
    ended = replace(begun_record(CHANGES, order), state=Repair.FULL)

    assert kinds(GAP, ended) == ([] if is_covered else [("hole", "Account")])
    assert kinds(replace(GAP, cause=HoleCause.ENTITY_CHANGE), ended) == [("hole", "Account")]


@pytest.mark.parametrize(
    ("change", "records"),
    [
        ({}, (ADA,)),
        ({"detail": f"GAP_CREATE of Account {ADA[:15]}"}, (ADA,)),
        ({"detail": f"GAP_DELETE of Account {ADA}"}, ()),
        ({"cause": HoleCause.OVERFLOW}, ()),
    ],
)
def test_hole_of_one_record_names_the_record(change: dict[str, Any], records: tuple[str, ...]) -> None:
    """A snapshot can't publish a deleted record, so that a deletion names none."""
    [problem] = hole_problems([replace(GAP, **change)], NOW)

    assert problem.records == records


@pytest.mark.parametrize(
    "change",
    [
        {"state": Repair.FULL},
        {"state": Repair.OPEN},
        {"cause": HoleCause.POSITION_SET},
        {"recorded_at": NOW - HOLE_SHOWN_S - 1},
    ],
)
def test_hole_that_is_repaired_ordered_or_old_is_no_problem(change: dict[str, Any]) -> None:
    """Nor is one whose repair is under way."""
    assert kinds(replace(HOLE, **change)) == []


def test_repair_that_waits_gives_its_reason() -> None:
    """However long it has waited."""
    waits = replace(HOLE, state=Repair.OPEN, recorded_at=0.0, progress={"waits": "no requests left"})
    [problem] = hole_problems([waits], NOW)

    assert (problem.kind, problem.error) == (ProblemKind.REPAIR_WAITS, "no requests left")


@pytest.mark.parametrize(
    ("path", "hours", "reason"),
    [
        ("/data/ChangeEvents", 47, None),
        ("/data/ChangeEvents", 49, "expires"),
        ("/data/ChangeEvents", 73, "expired"),
        ("/topic/X", 15, None),
        ("/topic/X", 17, "expires"),
        ("/outbound/x", 99, None),
        ("/event/Gone__e", 99, None),
    ],
)
def test_position_is_a_problem_in_the_last_third_of_the_retention(
    path: str, hours: int, reason: str | None
) -> None:
    """At the same time as the alert; a channel that is not configured is read by nobody."""
    channel = Channel(org=OrgId("00D"), path=path)
    checkpoint = Checkpoint(channel=channel, replay_id=ReplayId(b"1"), verified_at=NOW - hours * HOUR_S)
    paths = ["/data/ChangeEvents", "/topic/X", "/outbound/x"]
    problems = list(position_problems([StoredCheckpoint(checkpoint=checkpoint)], paths, NOW))

    assert [each.reason for each in problems] == ([] if reason is None else [reason])


def test_stopped_channel_is_a_problem_and_a_recovering_one_is_not() -> None:
    """It has stopped since the time up to which it is complete."""
    other = replace(CHANGES, path="/event/X__e")
    condition = ProcessCondition(
        waits=["no login"],
        channels={
            CHANGES: ChannelStatus(state=ChannelState.STOPPED, reason="403: no permission"),
            other: ChannelStatus(state=ChannelState.RECOVERING, reason="connection lost"),
        },
        verified_at={CHANGES: 50.0},
        blocked_plugins={ERP: "no certificate"},
    )

    assert [(each.kind, each.channel, each.error, each.since) for each in process_problems(condition)] == [
        (ProblemKind.PROCESS_WAITS, None, "no login", None),
        (ProblemKind.CHANNEL_REFUSED, "/data/ChangeEvents", "403: no permission", 50.0),
        (ProblemKind.PLUGIN_NOT_OPEN, None, "no certificate", None),
    ]
