"""Counters and their names."""

import math
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Histogram

from streamer.clock import TurnedClock
from streamer.events import (
    Channel,
    Checkpoint,
    ContinuityRecord,
    DeadLetter,
    Delivered,
    Event,
    EventId,
    FailureClass,
    Hold,
    HoleCause,
    Reject,
    Repair,
    ReplayId,
    Retry,
    Skip,
    Stage,
    SubscriberName,
)
from streamer.observe.metrics import Metrics
from streamer.observe.series import BucketHistogram, LabelValues
from streamer.ports import Appended

INVOICE = SubscriberName("invoice")
CHANNEL = {"channel": "/data/ChangeEvents"}


def event(time: str = "2024-12-31T23:59:58.000Z") -> Event:
    """A change that was committed two seconds before the clock begins."""
    return Event(
        id=EventId("tx:1:001A"),
        source="https://acme.my.salesforce.com",
        type="salesforce.cdc.Account.updated",
        subject="001A",
        time=time,
        key="001A",
        channel="/data/ChangeEvents",
        replay_id=ReplayId(b"7"),
        data={},
    )


def dead_letter(reason: str, stage: Stage) -> DeadLetter:
    """An event set aside for `reason`."""
    return DeadLetter(
        id="x",
        stage=stage,
        channel="/data/ChangeEvents",
        reason=reason,
        error="It can't be read.",
        hint="",
        failed_at=0.0,
        first_failed_at=0.0,
    )


def append(channel: Channel, *events: Event, **beside: Any) -> Appended:
    """An append of `events` to `channel`, and what stands beside them."""
    checkpoint = Checkpoint(channel=channel, replay_id=ReplayId(b"7"), verified_at=1_735_689_600.0)
    return Appended(checkpoint=checkpoint, events=len(events), first=next(iter(events), None), **beside)


def value(metrics: Metrics, name: str, labels: dict[str, str] | None = None) -> float | None:
    """Return a scrape's value of one series."""
    return metrics.registry.get_sample_value(f"streamer_{name}", labels or {})


def test_append_counts_its_events_and_its_batch(metrics: Metrics, channel: Channel) -> None:
    """An append adds its events and one batch to its channel."""
    metrics.channel(channel).appended(append(channel, event(), event()), 0.004)

    assert value(metrics, "ingest_events_total", CHANNEL) == 2
    assert value(metrics, "ingest_batches_total", CHANNEL) == 1
    assert value(metrics, "append_seconds_sum", CHANNEL) == 0.004


def test_age_is_measured_from_the_commit_of_the_oldest_event(metrics: Metrics, channel: Channel) -> None:
    """The first event of an append stands for its age, whatever the clock's zone."""
    newer = event("2025-01-01T00:00:00.000Z")
    metrics.channel(channel).appended(append(channel, event(), newer), 0.0)

    assert value(metrics, "event_age_seconds_sum", CHANNEL) == 2.0
    assert value(metrics, "event_age_seconds_count", CHANNEL) == 1


def test_empty_append_has_no_age(metrics: Metrics, channel: Channel) -> None:
    """A quiet channel is not a slow one."""
    metrics.channel(channel).appended(append(channel), 0.0)

    assert value(metrics, "ingest_batches_total", CHANNEL) == 1
    assert value(metrics, "event_age_seconds_count", CHANNEL) == 0


def test_position_is_shown_while_this_process_owns_the_channel(metrics: Metrics, channel: Channel) -> None:
    """Both times are shown; a former owner's would announce an expiry that nobody has to fear."""
    names = ("checkpoint_verified_timestamp_seconds", "checkpoint_expires_timestamp_seconds")
    mine = metrics.channel(channel)
    assert [value(metrics, name, CHANNEL) for name in names] == [None, None]
    mine.set_verified(1_735_689_600.0, expires_at=1_735_948_800.0)
    assert [value(metrics, name, CHANNEL) for name in names] == [1_735_689_600.0, 1_735_948_800.0]
    mine.set_owned(False)

    assert [value(metrics, name, CHANNEL) for name in names] == [None, None]


def test_what_ingest_sets_aside_and_records_is_counted(metrics: Metrics, channel: Channel) -> None:
    """Dead letters and holes of an append are counted by their cause."""
    hole = a_hole_in(channel)
    letter = dead_letter("unreadable", Stage.INGEST)
    metrics.channel(channel).appended(append(channel, set_aside=[letter], continuity=[hole]), 0.0)

    labels = {"stage": "ingest", "subscriber": "", "reason": "unreadable"}
    assert value(metrics, "dead_letters_total", labels) == 1
    assert value(metrics, "continuity_records_total", {**CHANNEL, "cause": "gap_event"}) == 1


def a_hole_in(channel: Channel) -> ContinuityRecord:
    """Return the first state of a hole that waits for its repair."""
    return ContinuityRecord(
        id="gap:1",
        channel=channel,
        cause=HoleCause.GAP_EVENT,
        detail="",
        recorded_at=0.0,
        state=Repair.OPEN,
    )


@pytest.mark.parametrize(
    ("state", "unrepaired"), [(Repair.OPEN, 0), (Repair.FULL, 0), (Repair.PARTIAL, 1), (Repair.NONE, 1)]
)
def test_hole_is_counted_once_and_told_when_it_stays_one(
    metrics: Metrics, channel: Channel, state: Repair, unrepaired: int
) -> None:
    """Its further states are not further holes; the end of an incomplete repair is counted."""
    hole = a_hole_in(channel)
    for record in (hole, replace(hole, updated_at=1.0), replace(hole, updated_at=2.0, state=state)):
        metrics.channel(channel).appended(append(channel, continuity=[record]), 0.0)

    labels = {**CHANNEL, "cause": "gap_event"}
    assert value(metrics, "continuity_records_total", labels) == 1
    assert (value(metrics, "continuity_unrepaired_total", labels) or 0) == unrepaired


async def test_only_a_delivery_counts_as_having_reached_the_target(
    metrics: Metrics, clock: TurnedClock
) -> None:
    """A retry is an attempt; the way to the target ends with its acceptance."""
    invoice = metrics.subscriber(INVOICE)
    invoice.attempted(event(), Retry(reason="busy"), 0.1)
    await clock.turn(1)
    invoice.attempted(event(), Delivered(), 0.1)

    assert value(metrics, "deliveries_total", {"subscriber": "invoice", "outcome": "retry"}) == 1
    assert value(metrics, "deliveries_total", {"subscriber": "invoice", "outcome": "delivered"}) == 1
    assert value(metrics, "event_to_target_seconds_sum", {"subscriber": "invoice"}) == 3.0


def test_dead_letter_of_a_subscriber_names_it(metrics: Metrics) -> None:
    """A dead letter of dispatch counts for its subscriber."""
    metrics.subscriber(INVOICE).set_aside(dead_letter("rejected", Stage.DISPATCH))

    labels = {"stage": "dispatch", "subscriber": "invoice", "reason": "rejected"}
    assert value(metrics, "dead_letters_total", labels) == 1


def test_error_text_never_becomes_a_label(metrics: Metrics) -> None:
    """A reason that is not a word is counted as other."""
    metrics.session.lost("Connection to 10.0.0.7:443 reset by peer")

    assert value(metrics, "session_lost_total", {"reason": "other"}) == 1


def test_answers_of_salesforce_are_counted(metrics: Metrics) -> None:
    """A refusal is counted for its channel, without Salesforce's text."""
    metrics.session.answered(events=2, size=900)
    metrics.session.overdue()
    metrics.session.subscribed("/data/ChangeEvents")
    metrics.session.refused("/event/Nope__e", "400::The channel you requested to subscribe to doesn't exist")

    assert value(metrics, "ingest_bytes_total") == 900
    assert value(metrics, "session_overdue_total") == 1
    assert value(metrics, "session_subscriptions_total", {**CHANNEL, "outcome": "accepted"}) == 1
    refused = {"channel": "/event/Nope__e", "outcome": "refused"}
    assert value(metrics, "session_subscriptions_total", refused) == 1


def test_look_ups_and_their_calls_are_counted(metrics: Metrics) -> None:
    """How many of them a call saves, and whether they wait, can be read from it."""
    lookups = metrics.lookups
    for result in ("read", "cached", "cached"):
        lookups.looked_up(result)
    lookups.asked(150, 0.2, "answered")
    lookups.held(entries=150, size=9_000, waits=True)

    assert value(metrics, "lookups_total", {"result": "cached"}) == 2
    assert value(metrics, "lookups_total", {"result": "failed"}) == 0
    assert value(metrics, "lookup_calls_total", {"result": "answered"}) == 1
    assert (value(metrics, "lookup_records_sum"), value(metrics, "lookup_seconds_sum")) == (150, 0.2)
    assert value(metrics, "lookup_cache_records") == 150
    assert value(metrics, "lookup_cache_bytes") == 9_000
    assert value(metrics, "lookups_waiting") == 1


def test_words_beyond_the_limit_are_other() -> None:
    """Reasons can't grow the number of series without bound."""
    words = LabelValues(limit=2)
    assert [words.bounded(word) for word in ("a", "b", "c", "a")] == ["a", "b", "other", "a"]


def test_series_exist_before_anything_happened(metrics: Metrics, channel: Channel) -> None:
    """A rate can be computed over the very first event."""
    metrics.channel(channel)
    metrics.subscriber(INVOICE)

    assert value(metrics, "ingest_events_total", CHANNEL) == 0
    assert value(metrics, "deliveries_total", {"subscriber": "invoice", "outcome": "reject"}) == 0


def test_every_metric_has_a_help_sentence_and_its_unit_in_its_name(metrics: Metrics) -> None:
    """Timed metrics say seconds, and no metric lacks a sentence."""
    ours = [family for family in metrics.registry.collect() if family.name.startswith("streamer_")]

    assert len(ours) > 15
    assert [family.name for family in ours if not family.documentation.endswith(".")] == []
    timed = [family.name for family in ours if family.type == "histogram"]
    assert [name for name in timed if not name.endswith(("_seconds", "_batch_events", "_records"))] == []


def test_failed_attempts_are_counted_by_the_class_of_their_error(metrics: Metrics) -> None:
    """Each class that occurs has a series; a delivery and a skipped event have none."""
    invoice = metrics.subscriber(INVOICE)
    for outcome in (
        Retry(reason="503", failure=FailureClass.HTTP_5XX),
        Hold(reason="401", after_s=1.0, failure=FailureClass.REFUSED_CREDENTIALS),
        Reject(reason="no such field"),
        Delivered(),
        Skip(reason="not ours"),
    ):
        invoice.attempted(event(), outcome, 0.1)

    counts = {
        each.value: value(metrics, "failed_attempts_total", {"subscriber": "invoice", "error": each.value})
        for each in FailureClass
    }
    assert {name: count for name, count in counts.items() if count is not None} == {
        "http_5xx": 1,
        "refused_credentials": 1,
        "rejected": 1,
    }


def test_ten_quiet_subscribers_have_few_series(metrics: Metrics, channel: Channel) -> None:
    """Series of errors, causes and reasons that nobody has met would make each scrape slow."""
    metrics.channel(channel)
    before = _series(metrics)
    for number in range(10):
        metrics.subscriber(SubscriberName(f"target{number}"))

    assert (len(_series(metrics)) - len(before)) / 10 < 60
    assert not [name for name, _ in _series(metrics) if name.endswith("_created")]
    assert not [name for name, _ in _series(metrics) if "failed_attempts" in name or "dead_letters" in name]


def _series(metrics: Metrics) -> set[tuple[str, tuple[str, ...]]]:
    return {
        (sample.name, tuple(sample.labels.values()))
        for family in metrics.registry.collect()
        for sample in family.samples
    }


def test_part_that_goes_on_is_always_shown(metrics: Metrics) -> None:
    """A scrape in another thread never meets a table that was cleared to be filled again."""
    lagging, other = ("channel", "/data/ChangeEvents"), ("subscriber", "invoice")
    metrics.process.set_stuck({lagging: True, other: False})
    metrics.process.set_stuck({lagging: True})

    labels = ("kind", "name")
    assert value(metrics, "stuck", dict(zip(labels, lagging, strict=True))) == 1
    assert value(metrics, "stuck", dict(zip(labels, other, strict=True))) is None


def test_series_of_a_removed_subscriber_go(metrics: Metrics) -> None:
    """All of them, or those of renamed subscribers would add up."""
    metrics.subscriber(INVOICE)
    metrics.forget_subscriber(INVOICE)

    samples = [sample for family in metrics.registry.collect() for sample in family.samples]
    assert [each.name for each in samples if "invoice" in each.labels.values()] == []


def test_value_is_counted_in_the_bucket_of_the_library() -> None:
    """The bounds included; a sampled value leaves its exemplar."""
    registries = CollectorRegistry(), CollectorRegistry()
    kinds: tuple[type[Histogram], ...] = (Histogram, BucketHistogram)
    for kind, registry in zip(kinds, registries, strict=True):
        seconds = kind("seconds", "A time.", ["name"], buckets=(0.5, 1.0, 2.5), registry=registry).labels("a")
        for value in (-1.0, 0.0, 0.5, 0.6, 1.0, 2.4, 2.5, 2.6, 1e9, math.inf):
            seconds.observe(value)
        seconds.observe(0.7, {"trace_id": "1"})
    library, ours = (
        [(each.name, each.labels, each.value) for metric in registry.collect() for each in metric.samples]
        for registry in registries
    )

    assert ours == library
    assert len(ours) == 6
