"""Problems with one cause share a group, and problems with different causes do not."""

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from streamer.admin.problems.groups import MOST_GROUPS, OpenProblem, ProblemKind, grouped
from streamer.admin.problems.remedies import command_of, remedy_of
from streamer.controls import LetterFilter, normalised_error
from streamer.events import SubscriberName
from tests.contracts.values import a_dead_letter

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
    assert normalised_error(one) == normalised_error(other)


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
    assert normalised_error(one) != normalised_error(other)


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


ERRORS = [
    "the target answered 422",
    "the target answered 422: order 1001 is unknown",
    "the target answered 422: order 7 is unknown",
    "the target answered 422: 1001",
    'the target answered 422: it\'s 7 "wrong" $(rm -rf /) `x` \\',
    'the target answered 422: it\'s 8 "wrong" $(rm -rf /) `x` \\',
    "1001",
    "2026-01-31deadbeefdeadbeefdead",
    "two\nlines\tof 3 \x1b[31m words",
    "abc \u202efed \u200b 😀 שלום",
    "x" * 290 + " 801000000000001AAA",
    "y" * 400,
    "= 7",
]


@pytest.mark.parametrize("error", ERRORS)
def test_command_chooses_exactly_the_group(error: str) -> None:
    """A shell reads the filter back, and the filter admits no dead letter of another group."""
    pattern = normalised_error(error)
    [group] = [each for each in grouped(map(a_letter, ERRORS)) if normalised_error(each.error) == pattern]
    *words, wanted = shlex.split(command_of(group, [ERP]))
    admits = LetterFilter(error=wanted).admits
    chosen = [each for each in ERRORS if admits(a_dead_letter("1", error=each))]

    assert words[:3] == ["streamer", "deadletters", "redrive"]
    assert words[3:] == ["--subscriber", "erp", "--reason", "rejected", "--error"]
    assert chosen == [each for each in ERRORS if normalised_error(each) == pattern]
    assert group.count == len(chosen)
    assert wanted.isprintable()
    # Without quotes, zsh takes =word for the path of a program.
    assert " '= " in command_of(group, [ERP])


def test_errors_that_share_the_last_group_have_no_redrive() -> None:
    """No filter chooses them, and a redrive by the reason would cover every other group."""
    words = (f"word{'x' * number} failed" for number in range(2 * MOST_GROUPS))
    [rest] = [each for each in grouped(map(a_letter, words)) if not each.error]

    assert command_of(rest, [ERP]) == "streamer deadletters list --subscriber erp --reason rejected"


def test_every_kind_has_a_remedy_and_a_command() -> None:
    """A new kind must not leave a person without advice."""
    for kind in ProblemKind:
        problem = OpenProblem(kind=kind, subscriber=ERP, channel="/data/ChangeEvents")
        assert remedy_of(problem, [ERP]).endswith(".")
        assert command_of(problem, [ERP]).startswith("streamer ")


def test_letters_that_no_redrive_delivers_have_another_remedy() -> None:
    """As do those of a subscriber that is no longer configured."""
    lost, gone = a_letter("lost", can_be_repeated=False), a_letter("failed")
    unread = a_letter("lost", subscriber=None, channel="/data/ChangeEvents")

    assert "send them by hand" in remedy_of(lost, [ERP])
    assert command_of(lost, [ERP]).startswith("streamer deadletters list")
    for each in (gone, unread):
        assert "no longer configured" in remedy_of(each, [])
        assert command_of(each, []).startswith("streamer deadletters list")


def a_gap(*records: str) -> OpenProblem:
    """Return a hole of these records."""
    return OpenProblem(kind=ProblemKind.HOLE, channel="/data/ChangeEvents", entity="Account", records=records)


@pytest.mark.parametrize(
    ("numbers", "more"),
    [
        ([1], " --where \"Id IN ('001000000000001AAA')\""),
        ([2, 1, 1], " --where \"Id IN ('001000000000001AAA', '001000000000002AAA')\""),
        (range(1, 12), ""),
    ],
)
def test_known_records_have_a_snapshot_of_their_own(numbers: Iterable[int], more: str) -> None:
    """Reading the whole object costs the org's requests; a long list of ids costs the reader's time."""
    [group] = grouped(a_gap(f"001{number:012}AAA") for number in numbers)
    whole = "streamer snapshot start Account --channel /data/ChangeEvents"

    assert command_of(group, []) == whole + more
    assert remedy_of(group, []) == "Take a snapshot: it publishes the present state of the records."


def test_one_unknown_record_needs_the_whole_object() -> None:
    """In each order of the holes of a group."""
    for holes in ([a_gap("001000000000001AAA"), a_gap()], [a_gap(), a_gap("001000000000001AAA")]):
        [group] = grouped(holes)
        assert "--where" not in command_of(group, [])


def test_doctor_reads_the_daemon_s_own_files() -> None:
    """A person pastes the command on the daemon's machine. The demo's daemon has no file."""
    refused = OpenProblem(kind=ProblemKind.CHANNEL_REFUSED, channel="/data/ChangeEvents")
    sources = [Path("/etc/streamer/streamer.yaml"), Path("/etc/my targets.yaml")]

    assert command_of(refused, [], sources) == (
        "streamer doctor -c /etc/streamer/streamer.yaml -c '/etc/my targets.yaml'"
    )
    assert command_of(refused, []) == "streamer doctor -c FILE"


def test_hole_of_platform_events_asks_for_no_snapshot() -> None:
    """Records can't replace platform events."""
    changes = OpenProblem(kind=ProblemKind.HOLE, channel="/data/ChangeEvents", entity="Account")
    events = OpenProblem(kind=ProblemKind.HOLE, channel="/event/Order_Placed__e")

    assert command_of(changes, []) == "streamer snapshot start Account --channel /data/ChangeEvents"
    assert command_of(events, []) == "streamer continuity list --channel /event/Order_Placed__e"
    assert "snapshot" not in remedy_of(events, [])
