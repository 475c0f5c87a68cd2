"""Takeovers and rolling restarts are shown, and are complete only when every event came, once."""

from dataclasses import replace

import pytest

from tests.bench.ownership.results import Rolling, Takeovers

TAKEOVERS = Takeovers(
    session_s=6,
    killed_s=[6.5],
    stopped_s=[0.6],
    frozen_s=[6.7],
    let_go_s=[0.006],
    sent=1_000,
    committed=1_000,
    repeated=0,
)
ROLLING = Rolling(
    processes=3,
    session_s=6,
    paused_s={"/data/AccountChangeEvent": 2.25, "/data/ContactChangeEvent": 1.5},
    sent=1_000,
    committed=1_000,
    delivered=1_000,
    repeated_in_log=0,
    repeated_to_target=0,
)


def test_waits_of_takeovers_are_shown() -> None:
    """By the fate of the owner; the time to let go in milliseconds."""
    assert [(row.what.partition(" (")[0], row.measured) for row in TAKEOVERS.figures()] == [
        ("owner killed in mid-transaction", "6.50 s"),
        ("owner stopped", "0.60 s"),
        ("owner frozen in mid-transaction", "6.70 s"),
        ("frozen owner, from waking to letting go", "6 ms"),
        ("events sent meanwhile, committed, repeated", "1,000 1,000 0"),
    ]


def test_pauses_of_a_rolling_restart_are_shown() -> None:
    """The longest of each channel."""
    assert [(row.what, row.measured) for row in ROLLING.figures()] == [
        ("rolling restart of 3: longest pause of /data/AccountChangeEvent", "2.25 s"),
        ("rolling restart of 3: longest pause of /data/ContactChangeEvent", "1.50 s"),
        ("events sent meanwhile, committed, delivered", "1,000 1,000 1,000"),
        ("repeated in the log, to the target", "0 0"),
    ]


@pytest.mark.parametrize("wrong", [{"committed": 999}, {"repeated": 1}])
def test_takeovers_that_lose_or_repeat_are_not_complete(wrong: dict[str, int]) -> None:
    """Then the bench fails."""
    assert TAKEOVERS.complete
    assert not replace(TAKEOVERS, **wrong).complete  # type: ignore[arg-type] # all of them are integers


@pytest.mark.parametrize(
    "wrong", [{"committed": 999}, {"delivered": 999}, {"repeated_in_log": 1}, {"repeated_to_target": 1}]
)
def test_rolling_restart_that_loses_or_repeats_is_not_complete(wrong: dict[str, int]) -> None:
    """Then the bench fails."""
    assert ROLLING.complete
    assert not replace(ROLLING, **wrong).complete  # type: ignore[arg-type] # all of them are integers
