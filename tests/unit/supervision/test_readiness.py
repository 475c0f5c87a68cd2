"""Readiness as the parts report it."""

from typing import cast

import pytest

from streamer.events import FailureClass
from streamer.ingest.channel_supervisor import ChannelState, ChannelStatus, ChannelSupervisor
from streamer.observe.subscriber_status import LastFailure
from streamer.supervision.conditions import LogCondition
from streamer.supervision.health import Health, ProbeKind, State
from streamer.supervision.status import Status
from tests.contracts.values import CHANGES
from tests.unit.supervision.parts import SALES, Condition, Delivering, Kept, Session, supervisor


def readiness(status: Status) -> list[str]:
    """Return what keeps the daemon from being ready."""
    health = Health()
    status.register(health)
    return health.report(ProbeKind.READINESS).problems


def says(status: Status, probe: str) -> str:
    """Return the sentence of one probe."""
    health = Health()
    status.register(health)
    return health.report(ProbeKind.READINESS).results[probe].sentence


def without_subscribers(status: Status) -> Status:
    """Leave only what an ingest process does."""
    status.subscribers.expect(())
    status.subscribers.ended(SALES)
    return status


def test_daemon_whose_events_can_flow_is_ready(status: Status) -> None:
    """A target that is away keeps its backlog in the log and makes nobody unready."""
    status.subscribers.started(SALES, Delivering(held="429"))

    assert readiness(status) == []
    assert status.is_complete
    assert status.state is State.ACTIVE


def test_part_registers_its_own_probe() -> None:
    """Its readiness is judged without the other parts."""
    log, health = LogCondition(), Health()
    log.register(health)
    assert health.report(ProbeKind.READINESS).problems == ["log: The log is not open yet."]
    log.opened(Condition())

    assert health.report(ProbeKind.READINESS).ok


def test_probes_are_reported_in_the_order_of_an_event() -> None:
    """An operator reads from the connections to the targets."""
    health = Health()
    Status().register(health)

    assert list(health.report(ProbeKind.READINESS).results) == [
        *("connections", "log", "channels", "subscribers", "states")
    ]


def test_channel_that_does_not_run_is_named_with_its_reason(status: Status) -> None:
    """So that an operator need not look into the log."""
    state = next(each for each in ChannelState if each is not ChannelState.RUNNING)
    status.reading.channels_opened(supervisor(state, "no right"), Session(frozenset({CHANGES.path})))

    assert readiness(status) == [f"channels: {CHANGES.path}: no right"]
    assert not status.is_complete


def test_channel_that_is_not_subscribed_is_named(status: Status) -> None:
    """It runs, but Salesforce has not accepted it yet."""
    status.reading.channels_opened(supervisor(ChannelState.RUNNING), Session())

    assert readiness(status) == [f"channels: {CHANGES.path}: Streamer has not subscribed to the channel yet"]


def test_channel_that_is_left_unanswered_again_and_again_is_named(status: Status) -> None:
    """One connection can die in silence; when the next does too, it is not the connection."""
    path = CHANGES.path
    status.reading.channels_opened(supervisor(ChannelState.RUNNING), Session(frozenset({path}), {path: 1}))
    assert readiness(status) == []
    status.reading.channels_opened(supervisor(ChannelState.RUNNING), Session(frozenset({path}), {path: 2}))

    assert readiness(status) == [
        (
            f"channels: {path}: Salesforce has not answered on 2 connections in a row; "
            "Streamer replaced each connection"
        )
    ]
    assert not status.is_complete


def test_what_is_waited_for_is_named(status: Status) -> None:
    """Such as Salesforce's login."""
    status.reading.login_failed("Logging in to Salesforce.")

    assert readiness(status) == ["connections: Logging in to Salesforce."]


def test_process_whose_channels_are_all_read_by_others_stands_by(status: Status) -> None:
    """It is ready, and says so in a sentence and in a word."""
    without_subscribers(status).reading.channels_opened(supervisor(), Session())

    assert readiness(status) == []
    assert says(status, "channels").startswith(
        "This process is on standby: other processes read the channels."
    )
    assert status.state is State.STANDBY


def test_process_that_also_delivers_is_active_without_channels(status: Status) -> None:
    """Its subscribers are not on standby."""
    status.reading.channels_opened(supervisor(), Session())

    assert readiness(status) == []
    assert status.state is State.ACTIVE


@pytest.mark.parametrize("lacks", ["membership", "share", "login"])
def test_process_that_has_not_joined_is_not_ready(status: Status, lacks: str) -> None:
    """Nobody may count on it before it is logged in, a member, and has its first share."""
    without_subscribers(status)
    if lacks == "membership":
        status.log.opened(Condition(is_member=False))
    elif lacks == "share":
        status.reading.channels_opened(cast("ChannelSupervisor", Kept({}, joined=False)), Session())
    else:
        status = Status()
        status.log.opened(Condition())
        status.reading.started()
        status.reading.logged_in()

    assert readiness(status) == [
        "channels: This process has not joined the group that shares the channels yet."
    ]
    assert status.state is State.STARTING


def test_log_that_is_away_makes_every_role_unready(status: Status) -> None:
    """A standby and a process that only delivers, too."""
    status.log.opened(Condition(outage="No broker has answered for 9 s."))
    assert readiness(status) == ["log: No broker has answered for 9 s."]
    without_subscribers(status).reading.channels_opened(supervisor(), Session())
    assert readiness(status) == ["log: No broker has answered for 9 s."]
    assert "log: The log is not open yet." in readiness(Status())


def test_subscriber_without_its_place_in_the_log_makes_unready(status: Status) -> None:
    """Nothing can be delivered."""
    status.subscribers.started(SALES, Delivering(following=False))

    assert readiness(status) == ["subscribers: These subscribers have no position in the log yet: sales."]


def test_plugin_that_waits_for_its_target_does_not_make_unready(status: Status) -> None:
    """Its backlog is kept; the sentence says what is waited for."""
    status.subscribers.started(SALES, Delivering(following=False))
    status.subscribers.blocked(SALES, "the broker of MQTT refuses")

    assert readiness(status) == []
    assert says(status, "subscribers") == "sales: the broker of MQTT refuses"


def test_process_that_stops_is_not_ready(status: Status) -> None:
    """Whatever it still drains."""
    status.stop_requested()

    assert readiness(status) == ["connections: This process is stopping."]
    assert status.state is State.STOPPING


def test_failing_subscriber_is_told_of_with_its_last_error(status: Status) -> None:
    """With its time, its class, the number of failures and the next try; the process stays ready."""
    error = "the target answered 503, password=hunter2"
    failure = LastFailure(error=error, failure=FailureClass.HTTP_5XX, since=1.0, at=1_735_689_600.0, count=3)
    status.subscribers.started(SALES, Delivering(last_failure=failure))

    assert readiness(status) == []
    assert says(status, "subscribers") == (
        "sales: 3 attempts failed, last at 2025-01-01T00:00:00Z (http_5xx): the target answered 503, "
        "password=***, next attempt at 2025-01-01T00:01:00Z"
    )


def test_sentence_about_the_breaker_and_the_last_error_are_one_line(status: Status) -> None:
    """A full stop does not stand before a comma."""
    failure = LastFailure(error="answered 503", failure=FailureClass.HTTP_5XX, since=1.0, at=2.0, count=1)
    held = Delivering(held="4 of 4 attempts failed.", last_failure=failure)
    status.subscribers.started(SALES, held)

    assert readiness(status) == []
    assert says(status, "subscribers").startswith("sales: 4 of 4 attempts failed, 1 attempt failed, last at")


def test_held_subscriber_is_told_of(status: Status) -> None:
    """An operator need not ask the admin API for the reason."""
    status.subscribers.started(SALES, Delivering(held="401: check the credentials"))

    assert says(status, "subscribers") == "sales: 401: check the credentials"


@pytest.mark.parametrize(("subscribed", "state"), [(set(), "stopped"), ({CHANGES.path}, "running")])
def test_channel_that_is_retried_is_still_refused_until_it_is_subscribed(
    subscribed: set[str], state: str
) -> None:
    """A new attempt alone mends nothing, and the map must not turn green for it."""
    refused = ChannelStatus(state=ChannelState.STOPPED, reason="no right")
    kept = Kept({CHANGES: ChannelStatus(state=ChannelState.RUNNING, earlier_failure=refused)})
    status = Status()
    status.reading.channels_opened(cast("ChannelSupervisor", kept), Session(frozenset(subscribed)))

    assert status.reading.channels[CHANGES].state == state


def test_schema_registry_that_is_down_does_not_make_unready(status: Status) -> None:
    """Events with known schemas flow; an operator learns the reason among the problems."""
    status.log.opened(Condition(schema_outage="The registry does not answer."))

    assert readiness(status) == []
    assert status.log.schema_outage == "The registry does not answer."
