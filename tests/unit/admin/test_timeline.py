"""A timeline has the known steps of an event, in the order in which they happened."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from streamer.admin.events.accounts import Evidence, SubscriberAccount
from streamer.admin.events.steps import StepKind, TimelineStep
from streamer.admin.events.timeline import EventFacts, timeline_json, timeline_of
from streamer.app.chains.verdicts import RouteVerdict
from streamer.controls import AuditRecord
from streamer.events import (
    Entry,
    Event,
    FailedAttempt,
    FailureClass,
    ParkedLane,
    Partition,
    Receipt,
    Setback,
    SettledOffsets,
    Stage,
    SubscriberName,
)
from streamer.observe.exchanges import exchange_lines
from streamer.ports import LoggedEvent
from tests.contracts.values import ATTEMPTS, a_dead_letter, a_receipt, an_event

PLACE = Partition(topic="log", number=0)
EVENT = an_event("5", key="k")
COMMITTED = datetime.fromisoformat(EVENT.time).timestamp()


def logged(event: Event = EVENT, *, after_s: float | None = 0.2) -> LoggedEvent:
    """Return the event in the log, appended `after_s` seconds after its commit."""
    entry = Entry(partition=PLACE, offset=5, event=event)
    return LoggedEvent(entry=entry, appended_at=None if after_s is None else COMMITTED + after_s)


def evidence(name: str, **known: object) -> Evidence:
    """Return what is known at one subscriber, which has settled the event unless `known` says otherwise."""
    subscriber = SubscriberName(name)
    base = Evidence(
        name=subscriber,
        uses="webhook",
        is_selected=True,
        verdict=RouteVerdict(subscriber=subscriber, matches=True),
        logged=logged(),
        progress=SettledOffsets(next_offset=9),
    )
    return replace(base, **known)  # type: ignore[arg-type] # as the tests write it


def failed(after_s: float, error: str = "answered 503", seconds: float = 0.1) -> FailedAttempt:
    """Return an attempt that failed `after_s` seconds after the commit."""
    return FailedAttempt(at=COMMITTED + after_s, seconds=seconds, failure=FailureClass.HTTP_5XX, error=error)


def receipt(name: str, *, first: float, then: float, attempts: int = 1, **more: object) -> Receipt:
    """Return a receipt whose first attempt began `first`, and whose last ended `then`, after the commit."""
    base = replace(
        a_receipt("5"),
        subscriber=SubscriberName(name),
        attempts=attempts,
        first_tried_at=COMMITTED + first,
        delivered_at=COMMITTED + then,
        answer={},
        failed_attempts=(),
    )
    return replace(base, **more)  # type: ignore[arg-type] # as the tests write it


def timeline(*accounts: Evidence, now: float = 100.0, **known: object) -> list[TimelineStep]:
    """Return the timeline of the event `now` seconds after its commit."""
    found = [SubscriberAccount.of(each) for each in accounts]
    facts = EventFacts(now=COMMITTED + now, event=EVENT, logged=logged(), accounts=found)
    return timeline_of(replace(facts, **known))  # type: ignore[arg-type] # as the tests write it


def told(steps: list[TimelineStep]) -> list[tuple[str, str | None]]:
    """Return the kinds of steps with their subscribers."""
    return [(step.kind.value, step.subscriber) for step in steps]


def test_steps_of_all_subscribers_stand_in_the_order_of_their_times() -> None:
    """The names of the subscribers do not decide the order."""
    steps = timeline(
        evidence("archive", receipts=[receipt("archive", first=3, then=4)]),
        evidence("shipment", receipts=[receipt("shipment", first=1, then=6)]),
    )

    assert told(steps) == [
        ("committed", None),
        ("appended", None),
        ("tried", "shipment"),
        ("tried", "archive"),
        ("delivered", "archive"),
        ("delivered", "shipment"),
    ]


def test_each_failed_attempt_has_a_step_with_its_answer() -> None:
    """Duration, kind and error belong to it."""
    account = evidence(
        "shipment",
        receipts=[
            receipt(
                "shipment",
                first=1,
                then=9,
                attempts=3,
                failed_attempts=(failed(2, seconds=0.75), failed(5, "timed out")),
            )
        ],
    )
    steps = [step for step in timeline(account) if step.kind is StepKind.FAILED]

    assert [(step.at, step.seconds, step.detail) for step in steps] == [
        (COMMITTED + 2, 0.75, "answered 503"),
        (COMMITTED + 5, 0.1, "timed out"),
    ]
    assert "http_5xx" in steps[0].said


def test_failed_attempt_tells_what_was_sent_and_answered() -> None:
    """As far as the log keeps it."""
    attempt = replace(failed(2), answer=ATTEMPTS[0].answer, exchange=ATTEMPTS[0].exchange)
    account = evidence(
        "shipment", receipts=[receipt("shipment", first=1, then=9, failed_attempts=(attempt,))]
    )
    [step] = [each for each in timeline_json(timeline(account)) if each["kind"] == "failed"]

    assert exchange_lines(step) == [
        "Sent: POST https://erp.example.com/invoices/***, 412 bytes, SHA-256 0123456789abcdef…",
        "Answered: status 503; retry-after: 30; x-request-id: r:1",
        'Answer: {"error": "ü"}',
    ]


def test_attempts_that_were_not_kept_are_counted_where_they_were_made() -> None:
    """They lie after the first attempt and before the kept last ones."""
    account = evidence(
        "shipment",
        receipts=[receipt("shipment", first=1, then=90, attempts=6, failed_attempts=(failed(2), failed(80)))],
    )
    steps = timeline(account)[2:]

    assert [step.kind.value for step in steps] == ["tried", "failed", "not_kept", "failed", "delivered"]
    assert steps[2].said == "3 more failed attempts, not kept one by one."
    assert steps[2].at is None


def test_old_receipt_tells_only_the_number_of_attempts() -> None:
    """A Streamer of before kept no single attempt."""
    account = evidence("shipment", receipts=[receipt("shipment", first=1, then=90, attempts=2)])

    assert [step.kind.value for step in timeline(account)[2:]] == ["tried", "not_kept", "delivered"]


def test_dead_letter_ends_its_attempts_and_a_redrive_follows() -> None:
    """An order that possibly covered the event is a step at its own time."""
    letter = replace(
        a_dead_letter("5:shipment", stage=Stage.DISPATCH),
        subscriber=SubscriberName("shipment"),
        attempts=2,
        failed_at=COMMITTED + 8,
        first_failed_at=COMMITTED + 2,
        failed_attempts=(failed(2), failed(8, "answered 422")),
    )
    order = AuditRecord(
        at=COMMITTED + 20,
        what="redrive.ordered",
        by="Anna",
        subscriber=SubscriberName("shipment"),
        detail={"id": "r1"},
    )
    steps = timeline(evidence("shipment", letters=[letter], redrives=[order]))[2:]

    assert [step.kind.value for step in steps] == ["failed", "failed", "dead_letter", "redrive"]
    assert [steps[1].detail, steps[2].detail] == ["answered 422", ""]
    assert steps[3].said == "Redrive r1 ordered by Anna: it possibly covered the event."


def test_old_dead_letter_tells_its_first_and_its_last_error() -> None:
    """Between them, the number of attempts is all that is known."""
    letter = replace(
        a_dead_letter("5:shipment", stage=Stage.DISPATCH, error="answered 422"),
        subscriber=SubscriberName("shipment"),
        attempts=5,
        failed_at=COMMITTED + 8,
        first_failed_at=COMMITTED + 2,
        first_error="timed out",
        failed_attempts=(),
    )
    steps = timeline(evidence("shipment", letters=[letter]))[2:]

    assert [(step.kind.value, step.detail) for step in steps] == [
        ("failed", "timed out"),
        ("not_kept", ""),
        ("dead_letter", "answered 422"),
    ]
    assert steps[1].said.startswith("3 more failed attempts")


def a_lane(*offsets: int, due: float) -> ParkedLane:
    """Return the lane of two failed attempts."""
    setback = Setback(
        attempts=2,
        first_failed_at=COMMITTED + 2,
        due_at=COMMITTED + due,
        first_error="timed out",
        last_error="answered 503",
        failed_attempts=(failed(2, "timed out"), failed(5)),
    )
    return ParkedLane(lane="k", offsets=offsets, setback=setback)


def test_parked_event_waits_now_and_has_a_next_attempt() -> None:
    """The attempt in the future is the last step."""
    steps = timeline(evidence("shipment", lane=a_lane(5, due=130)))[2:]

    assert [(step.kind.value, step.at and step.at - COMMITTED) for step in steps] == [
        ("failed", 2),
        ("failed", 5),
        ("parked", 5),
        ("waiting", 100),
        ("next", 130),
    ]
    assert steps[3].said == "Waits at shipment."


def test_attempt_that_is_overdue_stands_before_now() -> None:
    """A pause or a hold delays it."""
    steps = timeline(evidence("shipment", lane=a_lane(5, due=60)))

    assert [step.kind.value for step in steps[-2:]] == ["next", "waiting"]
    assert steps[-2].said == "The next attempt has been due since then."


def test_event_behind_another_event_names_that_event() -> None:
    """None of its own attempts is told, because there was none."""
    head = LoggedEvent(entry=Entry(partition=PLACE, offset=3, event=an_event("3", key="k")))
    steps = timeline(evidence("shipment", lane=a_lane(3, 5, due=130), head=head))[2:]

    assert [step.kind.value for step in steps] == ["parked", "waiting", "next"]
    assert steps[0].said == "Parked behind event 3 of the same key."


@pytest.mark.parametrize(
    "account",
    [
        evidence("idle", is_selected=False),
        evidence("idle", verdict=RouteVerdict(subscriber=SubscriberName("idle"), matches=False, why="when")),
        evidence("idle", logged=None, after=[SubscriberName("erp")]),
    ],
)
def test_subscriber_that_never_got_the_event_has_no_step(account: Evidence) -> None:
    """Not even for a redrive of all its dead letters."""
    order = AuditRecord(
        at=COMMITTED + 9, what="redrive.ordered", by="Anna", subscriber=SubscriberName("idle"), detail={}
    )

    assert len(timeline(replace(account, redrives=[order]))) == 2


def test_settled_event_without_a_record_is_told_without_a_time() -> None:
    """The log does not say when."""
    step = timeline(evidence("archive"))[-1]

    assert (step.kind, step.at, step.subscriber) == (StepKind.NOT_KEPT, None, "archive")


def test_pause_explains_the_time_before_a_delivery() -> None:
    """A pause after the delivery belongs to other events."""
    switches = [
        AuditRecord(
            at=COMMITTED + at, what=what, by="Anna", subscriber=SubscriberName("shipment"), detail=detail
        )
        for at, what, detail in (
            (1, "subscriber.paused", {"reason": "maintenance"}),
            (5, "subscriber.resumed", {}),
            (50, "subscriber.paused", {}),
        )
    ]
    account = evidence("shipment", receipts=[receipt("shipment", first=6, then=7)], switches=switches)
    steps = timeline(account)[2:]

    assert [step.kind.value for step in steps] == ["paused", "resumed", "tried", "delivered"]
    assert (steps[0].said, steps[0].detail) == ("The subscriber is paused by Anna.", "maintenance")


def test_copy_is_forwarded_before_its_subscriber_tries_it() -> None:
    """Even if the log does not keep the time of the copy's append."""
    first = evidence("shipment", receipts=[receipt("shipment", first=1, then=2)])
    second = evidence(
        "invoice",
        after=[SubscriberName("shipment")],
        logged=logged(after_s=None),
        receipts=[receipt("invoice", first=3, then=4)],
    )
    steps = timeline(second, first)

    assert told(steps)[3:] == [
        ("delivered", "shipment"),
        ("forwarded", "invoice"),
        ("tried", "invoice"),
        ("delivered", "invoice"),
    ]


def test_copy_is_forwarded_after_the_delivery_before_it() -> None:
    """The log keeps whole milliseconds of the append, and a receipt keeps more."""
    shipment = SubscriberName("shipment")
    steps = timeline(
        evidence("invoice", logged=logged(after_s=2.0), after=[shipment]),
        evidence("shipment", receipts=[receipt("shipment", first=1.0, then=2.0004)]),
    )
    said = [(each.kind, each.subscriber) for each in steps][-3:]

    assert said[:2] == [(StepKind.DELIVERED, "shipment"), (StepKind.FORWARDED, "invoice")]
    assert min(each["since_s"] or 0.0 for each in timeline_json(steps)) >= 0.0


def test_write_back_has_its_own_words() -> None:
    """Its target is the org itself."""
    account = evidence("write-back", uses="salesforce", receipts=[receipt("write-back", first=1, then=2)])

    assert timeline(account)[-1].said == "Written back to Salesforce."


def test_cause_stands_before_its_effect_though_the_clocks_differ() -> None:
    """Salesforce's clock can be ahead, and the difference is then negative."""
    early = logged(after_s=-0.5)
    steps = timeline_json(timeline(logged=early))

    assert [step["kind"] for step in steps] == ["committed", "appended"]
    assert steps[1]["since_s"] == -0.5


def test_time_since_the_step_before_skips_steps_without_a_time() -> None:
    """An undated step has no difference, and does not interrupt the count."""
    account = evidence("shipment", receipts=[receipt("shipment", first=1, then=9, attempts=2)])
    steps = timeline_json(timeline(account, logged=logged(after_s=None)))

    assert [(step["kind"], step["since_s"]) for step in steps] == [
        ("committed", None),
        ("appended", None),
        ("tried", 1.0),
        ("not_kept", None),
        ("delivered", 8.0),
    ]


def test_dead_letter_of_ingest_comes_before_the_event_that_was_read_again() -> None:
    """The redrive of ingest says when it read the event."""
    read_at = datetime.fromtimestamp(COMMITTED + 60, UTC).isoformat()
    event = replace(EVENT, data={"redriven": {"redriven_at": read_at}})
    aside = replace(a_dead_letter("/data/ChangeEvents:17"), failed_at=COMMITTED + 1)
    steps = timeline(event=event, aside=[aside], logged=logged(event, after_s=61))

    assert [step.kind.value for step in steps] == ["committed", "set_aside", "read_again", "appended"]


def test_unreadable_event_has_its_dead_letter_as_the_only_step() -> None:
    """Nothing else is known."""
    steps = timeline(event=None, logged=None, aside=[a_dead_letter("/data/ChangeEvents:17")])

    assert [step.kind.value for step in steps] == ["set_aside"]
