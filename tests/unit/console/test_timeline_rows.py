"""Rows of a timeline say when a step happened, how long after the step before, and how bad it is."""

import pytest

from streamer.admin.events.steps import StepKind
from streamer.console.timeline_rows import timeline_rows
from streamer.events import JsonObject


def step(at: str | None, kind: StepKind = StepKind.APPENDED, **more: object) -> JsonObject:
    """Return a step as the API has it."""
    base = {"since_s": None, "subscriber": None, "said": "It happens.", "seconds": None, "detail": ""}
    return {"at": at, "kind": kind, **base, **more}


def test_day_stands_at_its_first_step_alone() -> None:
    """The clock has milliseconds, because steps are often that close."""
    rows = timeline_rows(
        [
            step("2025-01-01T23:59:59.250000Z"),
            step(None),
            step("2025-01-01T23:59:59.262500Z", since_s=0.0125),
            step("2025-01-02T00:00:01.000000Z", since_s=1.7375),
        ]
    )

    assert [(row.day, row.clock, row.since) for row in rows] == [
        ("2025-01-01", "23:59:59.250", ""),
        ("", "", ""),
        ("", "23:59:59.262", "+12 ms"),
        ("2025-01-02", "00:00:01.000", "+1.74 s"),
    ]


@pytest.mark.parametrize(
    ("since_s", "gap"),
    [(None, "none"), (-0.5, "none"), (0.999, "none"), (1, "short"), (60, "long"), (3_600, "longest")],
)
def test_longer_time_has_more_room(since_s: float | None, gap: str) -> None:
    """But not in proportion."""
    [row] = timeline_rows([step("2025-01-01T00:00:00Z", since_s=since_s)])

    assert row.gap == gap
    assert timeline_rows([step(None, since_s=since_s)])[0].gap == "unknown"


def test_kind_decides_the_colour_and_an_attempt_has_its_duration() -> None:
    """A failed attempt and a dead letter are bad."""
    kinds = (StepKind.DELIVERED, StepKind.FAILED, StepKind.DEAD_LETTER, StepKind.PARKED, StepKind.COMMITTED)
    rows = timeline_rows([step("2025-01-01T00:00:00Z", kind, seconds=0.118) for kind in kinds])

    assert [row.level for row in rows] == ["good", "bad", "bad", "waits", "quiet"]
    assert {row.took for row in rows} == {"118 ms"}
