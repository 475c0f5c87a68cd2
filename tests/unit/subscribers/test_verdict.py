"""Meaning of an answer."""

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.clock import TurnedClock
from streamer.events import Delivered, Disable, Hold, Outcome, Reject, Retry, Skip
from subscribers.http.answer import Answer, OutcomeKind, OutcomeTable, verdict


def judge(
    status: int, body: bytes = b"", retry_after: str | None = None, changes: dict[str, str] | None = None
) -> Outcome:
    """Return the verdict on an answer, by a clock that stands at 2025-01-01T00:00Z.

    `changes` are a subscriber's own, such as `{"4xx": "skip"}`.
    """
    answer = Answer(status=status, body=body, retry_after=retry_after)
    table = OutcomeTable({key: OutcomeKind(word) for key, word in (changes or {}).items()})
    return verdict(answer, TurnedClock(), max_hold_s=3600.0, table=table)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, Delivered),
        (204, Delivered),
        (302, Reject),
        (304, Reject),
        (400, Reject),
        (401, Hold),
        (403, Hold),
        (404, Reject),
        (408, Retry),
        (409, Reject),
        (410, Disable),
        (418, Reject),
        (422, Reject),
        (425, Retry),
        (429, Hold),
        (500, Retry),
        (502, Retry),
        (503, Retry),
        (599, Retry),
    ],
)
def test_each_status_has_its_outcome(status: int, kind: type) -> None:
    """The table of statuses holds, unusual ones included."""
    assert type(judge(status, b"anything")) is kind


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_in_seconds_holds_the_target(status: int) -> None:
    """A pause that is asked for in seconds is the length of the hold."""
    assert judge(status, retry_after="17").after_s == 17.0  # type: ignore[union-attr] # other outcomes fail the test


@pytest.mark.parametrize("zone", ["GMT", "-0000"])
def test_retry_after_as_a_date_holds_until_then(zone: str) -> None:
    """A pause that is asked for as a date lasts from now until that date."""
    date = format_datetime(datetime(2025, 1, 1, 0, 2, tzinfo=UTC), usegmt=True).replace("GMT", zone)

    assert judge(503, retry_after=date).after_s == 120.0  # type: ignore[union-attr] # other outcomes fail the test


def test_retry_after_is_believed_up_to_an_hour() -> None:
    """A target can't ask for a week."""
    for asked in ("604800", "9" * 20, "9" * 5000):
        assert judge(429, retry_after=asked).after_s == 3600.0  # type: ignore[union-attr] # other outcomes fail the test


@pytest.mark.parametrize("asked", ["0", "Tue, 31 Dec 2024 23:00:00 GMT"])
def test_pause_that_is_over_still_leaves_a_second(asked: str) -> None:
    """A hold never spins."""
    assert judge(429, retry_after=asked).after_s == 1.0  # type: ignore[union-attr] # other outcomes fail the test


@pytest.mark.parametrize("asked", ["", "soon", "-5", "1e9", "Tue, 99 Foo 2025 00:00:00 GMT"])
def test_unreadable_retry_after_counts_as_absent(asked: str) -> None:
    """A value that is neither seconds nor a date changes nothing."""
    assert judge(503, retry_after=asked) == judge(503)
    assert judge(429, retry_after=asked) == judge(429)


@pytest.mark.parametrize(
    "body",
    [
        b'{"error": {"code": "already_processed"}, "number": "INV-1"}',
        b'{"code": "Already-Processed", "number": "INV-1"}',
        b'{"type": "https://errors.example/duplicate-request", "number": "INV-1"}',
    ],
)
def test_conflict_over_a_processed_key_is_delivered(body: bytes) -> None:
    """A 409 that says the key was acted on is what we wanted, and brings its answer."""
    outcome = judge(409, body)

    assert isinstance(outcome, Delivered)
    assert outcome.answer["number"] == "INV-1"


def test_conflict_over_a_key_in_progress_is_tried_again() -> None:
    """A 409 that says an earlier attempt is still running may succeed later."""
    assert isinstance(judge(409, b'{"error": "idempotency-key-in-use"}'), Retry)


def test_server_error_may_name_the_time_of_the_next_attempt() -> None:
    """A 502 with `Retry-After` concerns this event alone, so nothing else waits."""
    assert judge(502, retry_after="17").after_s == 17.0  # type: ignore[union-attr] # other outcomes fail the test


@given(st.integers(0, 999), st.binary(max_size=200), st.none() | st.text(max_size=40))
def test_no_answer_makes_the_verdict_raise(status: int, body: bytes, retry_after: str | None) -> None:
    """Whatever a target sends has a meaning, and no pause is longer than allowed."""
    outcome = judge(status, body, retry_after)

    assert isinstance(outcome, Outcome)
    assert (getattr(outcome, "after_s", None) or 1.0) <= 3600.0


def test_rejection_names_the_target_s_own_code() -> None:
    """The operator reads what the target called the mistake."""
    outcome = judge(400, b'{"error": {"code": "amount_missing"}}')

    assert isinstance(outcome, Reject)
    assert outcome.reason == "the target answered 400 Bad Request (amount_missing)"


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("delivered", Delivered),
        ("retry", Retry),
        ("hold", Hold),
        ("reject", Reject),
        ("skip", Skip),
        ("disable", Disable),
    ],
)
@pytest.mark.parametrize("status", [200, 302, 401, 404, 410, 500])
def test_subscriber_may_say_what_a_status_means(status: int, word: str, kind: type) -> None:
    """Any status can mean anything: targets use them in ways that no table foresees."""
    assert type(judge(status, changes={str(status): word})) is kind


def test_single_status_beats_its_class() -> None:
    """The exception is written beside the rule, in any order."""
    changes = {"404": "skip", "4xx": "retry"}

    assert isinstance(judge(404, changes=changes), Skip)
    assert isinstance(judge(422, changes=changes), Retry)
    assert isinstance(judge(500, changes=changes), Retry)


@pytest.mark.parametrize(("status", "kind"), [(401, Hold), (403, Hold), (410, Disable), (429, Hold)])
def test_changed_class_leaves_the_single_statuses_of_the_table(status: int, kind: type) -> None:
    """`4xx: skip` must not let a day's events pass when a key was rotated."""
    assert isinstance(judge(status, changes={"4xx": "skip"}), kind)


@pytest.mark.parametrize(
    ("status", "word", "kind"), [(429, "retry", Hold), (503, "retry", Hold), (422, "retry", Retry)]
)
def test_changed_status_still_heeds_retry_after(status: int, word: str, kind: type) -> None:
    """With 429 and 503 the whole target waits; another retry comes at the time that is named."""
    outcome = judge(status, retry_after="17", changes={str(status): word})

    assert (type(outcome), outcome.after_s) == (kind, 17.0)  # type: ignore[union-attr] # other outcomes fail the test


def test_final_outcome_needs_no_pause() -> None:
    """Who rejects what is busy does not wait for it."""
    assert isinstance(judge(429, retry_after="17", changes={"429": "reject"}), Reject)


def test_chosen_hold_lasts_a_minute_or_as_long_as_is_asked() -> None:
    """The operator sees what to mend, and the target is not asked all the time."""
    assert judge(402, changes={"402": "hold"}).after_s == 60.0  # type: ignore[union-attr] # other outcomes fail the test
    assert judge(402, retry_after="17", changes={"402": "hold"}).after_s == 17.0  # type: ignore[union-attr] # other outcomes fail the test


def test_word_about_our_key_beats_what_its_status_means() -> None:
    """Trying a key again that the target has acted on would get the same 409 for ever."""
    assert isinstance(judge(409, b'{"code": "already_processed"}', changes={"409": "retry"}), Delivered)
    assert isinstance(judge(409, b'{"code": "locked"}', changes={"409": "retry"}), Retry)
