"""A state is red only while events wait, or while an operator must act."""

from typing import Any, cast

import pytest

from streamer.admin.subscribers import DeliveryState
from streamer.flow.flow_map import Level
from streamer.flow.states import channel_rows, log_state, state_of
from streamer.ingest.channel_supervisor import ChannelState, ChannelStatus, ChannelSupervisor
from streamer.supervision.status import Status
from tests.contracts.values import CHANGES
from tests.unit.supervision.parts import Condition, Kept, Session

NOW = 1_735_690_320.0
FAILING = {
    "error": "answered 503",
    "class": "http_5xx",
    "since": "2025-01-01T00:00:00Z",
    "at": "2025-01-01T00:10:00Z",
    "count": 3,
}
PATH = CHANGES.path


def listed(state: str, **here: Any) -> dict[str, Any]:
    """Return a subscriber as the API lists it."""
    calm = {"held": "", "breaker": "closed", "down_since": None, "lag": 0, "late": "", "failing": None}
    return {"state": state, "reason": "", "since": None, "total": calm | here}


@pytest.mark.parametrize(
    ("subscriber", "level", "reason"),
    [
        (listed("delivering", failing=FAILING), Level.GOOD, ""),
        (listed("failing", failing=FAILING, lag=1), Level.BAD, "answered 503"),
        (listed("target down", failing=FAILING, held="the breaker is open"), Level.BAD, "answered 503"),
        (listed("target down", held="the breaker is open"), Level.BAD, "the breaker is open"),
        (listed("held", held="the target asks for a pause"), Level.WAITS, "the target asks for a pause"),
        (listed("late", late="the oldest has waited", held="a hold"), Level.BAD, "the oldest has waited"),
    ],
)
def test_word_of_the_api_has_a_level_and_a_reason(
    subscriber: dict[str, Any], level: Level, reason: str
) -> None:
    """The console and the terminal say what the API says."""
    found = state_of(subscriber, NOW)

    assert (found.word, found.level, found.reason) == (subscriber["state"], level, reason)


@pytest.mark.parametrize("state", DeliveryState)
def test_every_word_of_the_api_has_a_level(state: DeliveryState) -> None:
    """A new word must not break the map."""
    assert state_of(listed(state), NOW).word == state


@pytest.mark.parametrize(
    ("subscriber", "since"),
    [
        (
            listed("target down", failing=FAILING, down_since="2025-01-01T00:05:00Z"),
            "target down since 00:05 UTC (7 min)",
        ),
        (listed("failing", failing=FAILING, lag=1), "failing since 00:00 UTC (12 min)"),
        (listed("held", failing=FAILING, held="401"), "held since 00:00 UTC (12 min)"),
        (listed("held", held="the target asks for a pause"), "held"),
        ({**listed("paused"), "since": "2024-12-29T10:00:00Z"}, "paused since 2024-12-29 10:00 UTC (3 d)"),
        # An operator has resumed it some time ago.
        ({**listed("delivering"), "since": "2024-12-29T10:00:00Z"}, "delivering"),
        (listed("late", failing=None, late="the oldest has waited"), "late"),
    ],
)
def test_state_that_needs_attention_tells_since_when(subscriber: dict[str, Any], since: str) -> None:
    """With the time and the duration, and with the day if it was another one."""
    assert state_of(subscriber, NOW).headline == since


def test_subscriber_that_does_not_deliver_says_why() -> None:
    """A pause comes first, because the operator knows of it."""
    paused = {"state": "paused", "reason": "ERP is upgraded", "since": None, "total": None}
    blocked = {"state": "can't start", "reason": "", "since": None, "total": None}
    found = state_of(blocked, NOW, "no file")

    assert state_of(paused, NOW, "no file").reason == "ERP is upgraded"
    assert (found.level, found.reason) == (Level.BAD, "no file")
    assert state_of({**blocked, "state": "not here"}, NOW).level is Level.QUIET


def read(state: ChannelState, subscribed: bool = True) -> Status:  # noqa: FBT001, FBT002 - a state of two
    """Return the status of a daemon whose channel is verified up to the time 1,000."""
    status = Status()
    status.reading.started()
    kept = Kept({CHANGES: ChannelStatus(state=state, reason="403")}, verified_at={CHANGES: 1_000.0})
    session = Session(frozenset({PATH} if subscribed else ()))
    status.reading.channels_opened(cast("ChannelSupervisor", kept), session)
    return status


@pytest.mark.parametrize(
    ("state", "subscribed", "word", "level"),
    [
        (ChannelState.RUNNING, True, "reading", Level.GOOD),
        (ChannelState.RUNNING, False, "subscribing", Level.QUIET),
        (ChannelState.RECOVERING, True, "recovering", Level.BAD),
        (ChannelState.STOPPED, True, "stopped", Level.BAD),
    ],
)
def test_channel_has_one_word(state: ChannelState, subscribed: bool, word: str, level: Level) -> None:  # noqa: FBT001 - a parameter of the table
    """A refused channel is stopped, with Salesforce's reason."""
    [row] = channel_rows(read(state, subscribed).reading, [PATH], NOW)

    assert (row.word, row.level, row.reason) == (word, level, "403")


@pytest.mark.parametrize(("share", "is_soon"), [(0.6, False), (0.75, True), (1.1, True)])
def test_position_expires_soon_in_the_last_third_of_the_retention(share: float, is_soon: bool) -> None:  # noqa: FBT001 - a parameter of the table
    """As the alert says: 24 of 72 hours."""
    now = 1_000.0 + CHANGES.retention_s * share
    [row] = channel_rows(read(ChannelState.RUNNING).reading, [PATH], now)

    assert (row.expires_at, row.expires_soon) == (1_000.0 + CHANGES.retention_s, is_soon)


def test_channel_of_another_process_is_no_trouble() -> None:
    """Before the first share, its owner is not known."""
    status = Status()
    [unread] = channel_rows(status.reading, [PATH], NOW)
    status.reading.started()
    [starting] = channel_rows(status.reading, [PATH], NOW)

    assert (unread.word, starting.word) == ("elsewhere", "starting")
    assert unread.level == starting.level == Level.QUIET


def test_log_is_away_with_its_reason() -> None:
    """While it opens, while it can't be used, and while a request to it fails."""
    opening, used = Status().log, Status().log
    opening.unavailable("no broker")
    used.opened(Condition(outage="no broker for 9 s"))

    assert log_state(opening, "").reason == "no broker"
    assert log_state(used, "").reason == "no broker for 9 s"
    assert log_state(Status().log, "took longer than 5 s").level is Level.BAD
    assert log_state(Status().log, "").level is Level.GOOD
