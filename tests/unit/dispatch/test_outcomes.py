"""Each outcome of an attempt says something about the target, and has one command for its lane."""

from collections import deque

import pytest

from streamer.dispatch.commands import SETTLE, Command, HoldBack, Park, PauseSubscriber, SetHeadAside, Wait
from streamer.dispatch.delivery.attempts import AttemptResult
from streamer.dispatch.delivery.retry_schedule import RetrySchedule
from streamer.dispatch.lanes.head import RetryState
from streamer.dispatch.lanes.lanes import Lane
from streamer.dispatch.settling import TargetSign, command_of, sign_of
from streamer.events import Delivered, Disable, Entry, Hold, Outcome, Partition, Reject, Retry, Skip
from tests.contracts.values import an_event
from tests.unit.dispatch.world import middle

ACCOUNTS = Partition(topic="accounts", number=0)
SCHEDULE = RetrySchedule(
    first_delay_s=2.0, max_delay_s=8.0, give_up_after_s=60.0, fast_tries=2, jitter=middle
)
RETRY = Retry(reason="503")
REJECT = Reject(reason="400")
UNSENT = Reject(reason="when is broken", sent=False)
HOLD = Hold(reason="429", after_s=30.0)

TABLE: list[tuple[Outcome, TargetSign, Command]] = [
    (Delivered(), TargetSign.WORKS, SETTLE),
    (Skip(reason="known there"), TargetSign.WORKS, SETTLE),
    (Skip(reason="not for it", sent=False), TargetSign.NOT_ASKED, SETTLE),
    (RETRY, TargetSign.FAILS, Wait(delay_s=1.0)),
    (Retry(reason="busy", after_s=5.0), TargetSign.FAILS, Wait(delay_s=5.0)),
    (Retry(reason="back at ten", after_s=59.0), TargetSign.FAILS, Park(delay_s=59.0)),
    (REJECT, TargetSign.WORKS, SetHeadAside(failure=REJECT, reason="rejected")),
    (UNSENT, TargetSign.NOT_ASKED, SetHeadAside(failure=UNSENT, reason="rejected")),
    (HOLD, TargetSign.OVERLOADED, HoldBack(hold=HOLD)),
    (Disable(reason="gone"), TargetSign.NOTHING, PauseSubscriber(reason="gone")),
]


def a_lane(attempts: int = 1, *, parked: bool = False) -> Lane:
    """Return a lane of one event, whose attempts are counted already."""
    entry = Entry(partition=ACCOUNTS, offset=7, event=an_event("1"))
    lane = Lane(partition=ACCOUNTS, name="A", entries=deque([entry]), retries=RetryState(attempts=attempts))
    if parked:
        lane.parked.append(7)
    return lane


def tried(lane: Lane, outcome: Outcome, *, awaits_lookup: bool = False) -> AttemptResult:
    """Return an attempt that took no time."""
    return AttemptResult(entry=lane.head, outcome=outcome, seconds=0.0, awaits_lookup=awaits_lookup)


@pytest.mark.parametrize(("outcome", "sign", "command"), TABLE)
def test_outcome_has_a_sign_and_a_command(outcome: Outcome, sign: TargetSign, command: Command) -> None:
    """The table shows all six outcomes, sent and unsent."""
    lane = a_lane()
    attempt = tried(lane, outcome)

    assert (sign_of(attempt), command_of(attempt, lane, SCHEDULE)) == (sign, command)


@pytest.mark.parametrize(
    ("lane", "command"),
    [
        (a_lane(2), Wait(delay_s=2.0)),
        (a_lane(3), Park(delay_s=4.0)),
        (a_lane(1, parked=True), Park(delay_s=1.0)),
        (a_lane(SCHEDULE.attempts), SetHeadAside(failure=RETRY, reason="retries_exhausted")),
        (a_lane(0), Wait(delay_s=1.0)),
    ],
    ids=["from memory", "after the fast tries", "already parked", "after the last", "excused by an outage"],
)
def test_failed_attempts_decide_where_the_lane_waits(lane: Lane, command: Command) -> None:
    """A lane waits in memory at first, then in the log, and its head is set aside in the end."""
    assert command_of(tried(lane, RETRY), lane, SCHEDULE) == command


@pytest.mark.parametrize("outcome", [RETRY, HOLD])
def test_failed_lookup_says_nothing_about_the_target(outcome: Outcome) -> None:
    """The target was not asked, so neither its breaker nor its limit changes."""
    lane = a_lane(0)

    assert sign_of(tried(lane, outcome, awaits_lookup=True)) is TargetSign.NOT_ASKED


def test_failed_lookup_never_ends_in_a_dead_letter() -> None:
    """The event is tried again however often its look-up has failed."""
    lane = a_lane(SCHEDULE.attempts)
    attempt = tried(lane, RETRY, awaits_lookup=True)

    assert command_of(attempt, lane, SCHEDULE) == Park(delay_s=4.0)
