"""What probes and metrics are told of the parts."""

import asyncio
from dataclasses import dataclass
from typing import Any, cast

import pytest

from streamer.clock import TurnedClock
from streamer.events import Channel, SubscriberName
from streamer.ingest.keeper import ChannelState, ChannelStatus, Keeper
from streamer.observe.health import Heartbeat, Kind
from streamer.observe.metrics import Metrics
from streamer.status import Status
from tests.contracts.values import CHANGES

SALES = SubscriberName("sales")


@dataclass
class Kept:
    """A keeper that says what a test wants."""

    status: dict[Channel, ChannelStatus]


@dataclass
class Session:
    """A source that is subscribed to what a test wants."""

    subscribed: frozenset[str] = frozenset()


@dataclass
class Delivering:
    """A dispatcher in the state that a test wants."""

    following: bool = True
    held: str = ""


@pytest.fixture
def clock() -> TurnedClock:
    """Time stands still."""
    return TurnedClock()


@pytest.fixture
def status(clock: TurnedClock) -> Status:
    """One channel that runs and is subscribed, and one subscriber that follows the log."""
    status = Status(Metrics(clock=clock))
    status.keeper = keeper(ChannelState.RUNNING)
    status.source = Session(frozenset({CHANGES.path}))
    status.dispatchers[SALES] = Delivering()
    status.awaited = frozenset({SALES})
    return status


def keeper(state: ChannelState, reason: str = "") -> Keeper:
    """Return a keeper of one channel."""
    return cast("Keeper", Kept({CHANGES: ChannelStatus(state=state, reason=reason)}))


def readiness(status: Status, clock: TurnedClock) -> list[str]:
    """Return what keeps the daemon from being ready."""
    health = status.health(Heartbeat(clock=clock, metrics=status.metrics))
    return health.report(Kind.READINESS).problems


def test_daemon_whose_events_can_flow_is_ready(status: Status, clock: TurnedClock) -> None:
    """A target that is away keeps its backlog in the log and makes nobody unready."""
    status.dispatchers[SALES] = Delivering(held="429")

    assert readiness(status, clock) == []
    assert status.complete()


def test_channel_that_does_not_run_is_named_with_its_reason(status: Status, clock: TurnedClock) -> None:
    """So that an operator need not look into the log."""
    status.keeper = keeper(
        next(each for each in ChannelState if each is not ChannelState.RUNNING), "no right"
    )

    assert readiness(status, clock) == [f"channels: {CHANGES.path}: no right"]
    assert not status.complete()


def test_channel_that_is_not_subscribed_is_named(status: Status, clock: TurnedClock) -> None:
    """It runs, but Salesforce has not accepted it yet."""
    status.source = Session()

    assert readiness(status, clock) == [f"channels: {CHANGES.path}: not subscribed yet"]


def test_what_is_waited_for_is_named(status: Status, clock: TurnedClock) -> None:
    """Such as Salesforce's login."""
    status.waiting_for["salesforce"] = "Logging in to Salesforce."

    assert readiness(status, clock) == ["connections: Logging in to Salesforce."]


def test_daemon_without_its_subscribers_is_not_complete(status: Status) -> None:
    """Each must have its place in the log."""
    status.dispatchers[SALES] = Delivering(following=False)
    assert not status.complete()
    status.dispatchers.clear()
    assert not status.complete()


@pytest.mark.parametrize("comes", [True, False])
async def test_followers_are_waited_for_within_reason(
    status: Status,
    clock: TurnedClock,
    comes: bool,  # noqa: FBT001 - a table of cases
) -> None:
    """Until they are there, or the time is over."""
    delivering = Delivering(following=False)
    status.dispatchers[SALES] = delivering
    waiting = asyncio.create_task(status.followed(clock, within_s=10))
    await clock.turn(9)
    assert not waiting.done()
    delivering.following = comes
    await clock.turn(0.5 if comes else 2)

    assert waiting.done()


async def test_gauges_follow_the_parts(status: Status, clock: TurnedClock) -> None:
    """Within a second."""
    watching = asyncio.create_task(status.watch(clock))
    await clock.turn(0)
    channel, sales = status.metrics.channel(CHANGES), status.metrics.subscriber(SALES)
    assert (value(channel.up), value(sales.held)) == (1, 0)
    status.source = Session()
    status.dispatchers[SALES] = Delivering(held="410")
    await clock.turn(1)

    assert (value(channel.up), value(sales.held)) == (0, 1)
    watching.cancel()


def value(gauge: Any) -> float:
    """Return what a gauge shows."""
    return float(gauge._value.get())
