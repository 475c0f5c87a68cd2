"""Problems with one cause share a group, and problems with different causes do not."""

from typing import Any

import pytest

from streamer.admin.problems.groups import MOST_GROUPS, OpenProblem, ProblemKind, grouped, normalised
from streamer.admin.problems.remedies import command_of, remedy_of
from streamer.events import SubscriberName

ERP = SubscriberName("erp")


def a_letter(error: str, *, at: float = 100.0, **fields: Any) -> OpenProblem:
    """Return the problem of one dead letter."""
    problem: dict[str, Any] = {"kind": ProblemKind.DEAD_LETTERS, "reason": "rejected", "subscriber": ERP}
    return OpenProblem(error=error, since=at, latest=at, **{**problem, **fields})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("order 1001 is unknown", "order 20017 is unknown"),
        ("order 101 is unknown", "order 422 is unknown"),
        ("no record 006Hs00001AbCdEAAV", "no record 006Hs00001AbCdFAAV"),
        ("no answer within 10.5 s", "no answer within 9 s"),
        ("refused at 2026-11-30T10:00:00Z", "refused at 2026-12-01T11:22:33.5+01:00"),
        ("id 3f0c7c2e-6a7e-4a53-9d0c-1f3b7c2a9e11", "id 00000000-6a7e-4a53-9d0c-1f3b7c2a9e11"),
    ],
)
def test_errors_that_differ_only_in_their_values_have_one_cause(one: str, other: str) -> None:
    """An id, a time or a number names the event, and not the cause."""
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("the target answered 422", "the target answered 503"),
        ("422: refused", "400: refused"),
        ("HTTP 422, refused", "HTTP 409, refused"),
        ("no field Amount__c", "no field Name"),
        ("order 1001 is unknown", "customer 1001 is unknown"),
    ],
)
def test_errors_with_other_words_or_another_status_have_other_causes(one: str, other: str) -> None:
    """Each needs its own remedy."""
    assert normalised(one) != normalised(other)


def test_group_has_its_count_its_beginning_and_its_newest_error() -> None:
    """Whatever the order in which its problems are found."""
    found = grouped([a_letter("order 2 failed", at=20.0), a_letter("order 1 failed", at=10.0)])

    assert [(each.count, each.since, each.latest, each.error) for each in found] == [
        (2, 10.0, 20.0, "order 2 failed")
    ]


def test_groups_come_newest_first() -> None:
    """A problem without a time exists now, so it precedes them all."""
    now = OpenProblem(kind=ProblemKind.PROCESS_WAITS, error="no login")
    found = grouped([a_letter("old", at=1.0), a_letter("new", at=2.0), now])

    assert [each.error for each in found] == ["no login", "new", "old"]


@pytest.mark.parametrize(
    "other",
    [
        {"subscriber": SubscriberName("crm")},
        {"reason": "too_large"},
        {"can_be_repeated": False},
        {"kind": ProblemKind.PARKED},
    ],
)
def test_same_error_of_another_part_is_another_group(other: dict[str, Any]) -> None:
    """The remedy is for one part, and for one reason."""
    assert len(grouped([a_letter("failed"), a_letter("failed", **other)])) == 2


def test_number_of_groups_is_bounded() -> None:
    """Errors that are all different share one more group, and all of them are counted."""
    words = (f"word{'x' * number} failed" for number in range(3 * MOST_GROUPS))
    found = grouped(map(a_letter, words))

    assert len(found) == MOST_GROUPS + 1
    assert sum(each.count for each in found) == 3 * MOST_GROUPS


def test_part_of_the_error_is_in_every_error_of_the_group() -> None:
    """So a filter by this part covers the whole group."""
    errors = ["the target answered 422: order 1001 is unknown", "the target answered 422: order 7 is unknown"]
    [group] = grouped(map(a_letter, errors))

    assert group.error_part == "the target answered 422: order"
    assert all(group.error_part in error for error in errors)
    assert a_letter("1001").error_part is None


def test_command_chooses_exactly_the_group() -> None:
    """A shell reads it back as it is meant."""
    assert command_of(a_letter("it's 7 wrong")) == (
        "streamer deadletters redrive --subscriber erp --reason rejected --error wrong"
    )
    assert command_of(a_letter("it can't be read")).endswith("--error 't be read'")


def test_every_kind_has_a_remedy_and_a_command() -> None:
    """A new kind must not leave a person without advice."""
    for kind in ProblemKind:
        problem = OpenProblem(kind=kind, subscriber=ERP, channel="/data/ChangeEvents")
        assert remedy_of(problem, [ERP]).endswith(".")
        assert command_of(problem).startswith("streamer ")


def test_letters_that_no_redrive_delivers_have_another_remedy() -> None:
    """As do those of a subscriber that is no longer configured."""
    lost, gone = a_letter("lost", can_be_repeated=False), a_letter("failed")

    assert "send them by hand" in remedy_of(lost, [ERP])
    assert command_of(lost).startswith("streamer deadletters list")
    assert "no longer configured" in remedy_of(gone, [])


def test_hole_of_platform_events_asks_for_no_snapshot() -> None:
    """Records can't replace platform events."""
    changes = OpenProblem(kind=ProblemKind.HOLE, channel="/data/ChangeEvents", entity="Account")
    events = OpenProblem(kind=ProblemKind.HOLE, channel="/event/Order_Placed__e")

    assert command_of(changes) == "streamer snapshot start Account --channel /data/ChangeEvents"
    assert command_of(events) == "streamer continuity list --channel /event/Order_Placed__e"
    assert "snapshot" not in remedy_of(events, [])
